from spirit_jax.pod_check.hlo import collectives

PROGRAM = """
HloModule step

%region (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  ROOT %add = f32[] add(%a, %b)
}

%all-reduce-scatter (p: bf16[64,128]) -> bf16[4,128] {
  %p = bf16[64,128]{1,0} parameter(0)
  %all-reduce.3 = bf16[64,128]{1,0:T(8,128)} all-reduce(%p), replica_groups={{0,1,2,3}}, to_apply=%region
  ROOT %slice = bf16[4,128]{1,0} dynamic-slice(%all-reduce.3, %i, %z), dynamic_slice_sizes={4,128}
}

%body (t: (s32[], f32[8])) -> (s32[], f32[8]) {
  %gathered = (bf16[4,128], bf16[64,128]) all-gather-start(%w), replica_groups=[1,16]<=[16], dimensions={0}
  %done = bf16[64,128] all-gather-done(%gathered)
  %scattered = bf16[4,128]{1,0} fusion(%done), kind=kCustom, calls=%all-reduce-scatter
  ROOT %tuple = (s32[], f32[8]) tuple(%i, %x)
}

%condition (t: (s32[], f32[8])) -> pred[] {
  ROOT %less = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %loop = (s32[], f32[8]) while(%start), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"32"}}
  %all-reduce.1 = f32[8]{0} all-reduce(%x), replica_groups={{0,1,2,3}}, to_apply=%region
  ROOT %reduce-scatter.2 = f32[2]{0} reduce-scatter(%all-reduce.1), replica_groups={{0,1,2,3}}, dimensions={0}, to_apply=%region
}
"""  # noqa: E501


def test_loops_multiply_and_fused_slices_are_reduce_scatters():
    assert collectives(PROGRAM) == {
        "all-reduce": {"count": 1, "bytes": 8 * 4, "waited": 8 * 4},
        "all-gather": {"count": 32, "bytes": 32 * 64 * 128 * 2, "waited": 0},
        "reduce-scatter": {
            "count": 33,
            "bytes": 32 * 64 * 128 * 2 + 8 * 4,
            "waited": 32 * 64 * 128 * 2 + 8 * 4,
        },
    }


def test_a_loops_condition_tells_its_turns():
    program = PROGRAM.replace(', backend_config={"known_trip_count":{"n":"32"}}', "")
    program = program.replace("ROOT %less", "%n = s32[] constant(7)\n  ROOT %less")
    assert collectives(program)["all-gather"] == {"count": 7, "bytes": 7 * 64 * 128 * 2, "waited": 0}


def test_groups_of_a_named_mesh():
    line = (
        "ENTRY %main (x: f32[8]) -> f32[8] {\n ROOT %r = f32[2]{0} reduce-scatter(%x), "
        "replica_groups=mesh['a'=16,'b'=4] {'b'}\n}"
    )
    assert collectives(line)["reduce-scatter"]["bytes"] == 4 * 2 * 4


def test_a_program_without_text_has_none():
    assert collectives("") == {}


def test_the_steps_of_an_asynchronous_collective_are_one_in_each_place_and_what_slices_send_counts():
    turn = """  %start.{0} = (bf16[4,128], bf16[64,128]) fusion(%w), kind=kCustom, calls=%first
  %done.{0} = bf16[64,128] fusion(%start.{0}), kind=kCustom, calls=%second
"""
    step = "  ROOT %g = bf16[64,128] all-gather(%p), channel_id=3, dimensions={0}\n}\n"
    program = (
        "%first (p: bf16[4,128]) -> bf16[64,128] {\n"
        + step
        + "%second (p: bf16[4,128]) -> bf16[64,128] {\n"
        + step
    )
    program += "%body (t: (s32[])) -> (s32[]) {\n" + turn.format(0) + "}\n"
    program += "ENTRY %main (x: f32[8]) -> f32[8] {\n" + turn.format(1)
    program += '  %loop = (s32[]) while(%x), condition=%c, body=%body, backend_config={"known_trip_count":{"n":"5"}}\n'  # noqa: E501
    program += (
        "  %send.1 = (f32[8]{0}, u32[], token[]) send(%x, %after), channel_id=9, is_host_transfer=true\n}\n"
    )
    found = collectives(program)
    assert found["all-gather"] == {"count": 6, "bytes": 6 * 64 * 128 * 2, "waited": 0}
    assert found["send"] == {"count": 1, "bytes": 8 * 4, "waited": 0}
