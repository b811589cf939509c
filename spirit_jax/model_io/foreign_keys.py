"""The keys of others' configurations: those that a conversion reads, and those known not to matter to it.

Any other key stops a conversion by name, because it may change the model or its tokens. A null stands for an
absent key.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_optional_json

READ = "read"  # the other reasons say why a key does not matter
SAMPLING = "how transformers samples"
TABLE: dict[str, dict[str, str]] = {  # by file or part of a file: keys by reason
    "config.json": {
        READ: "model_type vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads "
        "num_key_value_heads head_dim rms_norm_eps tie_word_embeddings hidden_act attention_bias mlp_bias "
        "partial_rotary_factor rope_theta rope_scaling rope_parameters max_position_embeddings bos_token_id "
        "eos_token_id pad_token_id is_encoder_decoder add_cross_attention pruned_heads spirit_jax",
        "the names of the tensors show it": "architectures",
        "where the files come from": "_name_or_path name_or_path _commit_hash transformers_version "
        "unsloth_version unsloth_fixed _from_model_config",
        "types are the tensors' own": "dtype torch_dtype use_bfloat16",
        "how transformers computes, with the same result": "use_cache pretraining_tp torchscript return_dict "
        "output_attentions output_hidden_states _attn_implementation attn_implementation "
        "_attn_implementation_autoset _experts_implementation _flash_attn_2_enabled use_flash_attn "
        "chunk_size_feed_forward",
        "of training": "initializer_range attention_dropout neftune_noise_alpha",
        "a longest length, which a rotary embedding does not have": "max_sequence_length",
        "of models with other heads": "id2label label2id num_labels problem_type finetuning_task "
        "task_specific_params classifier_dropout",
        "of encoders and decoders": "is_decoder tie_encoder_decoder cross_attention_hidden_size "
        "decoder_start_token_id",
        "tokenizer_config.json says it": "tokenizer_class prefix sep_token_id",
        SAMPLING: "max_length min_length do_sample early_stopping num_beams num_beam_groups "
        "diversity_penalty temperature top_k top_p typical_p repetition_penalty length_penalty "
        "no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids num_return_sequences output_scores "
        "return_dict_in_generate forced_bos_token_id forced_eos_token_id remove_invalid_values "
        "exponential_decay_length_penalty suppress_tokens begin_suppress_tokens",
    },
    "rope": {
        READ: "rope_type type rope_theta partial_rotary_factor factor low_freq_factor high_freq_factor "
        "original_max_position_embeddings",
    },
    "params.json": {
        READ: "dim n_layers n_heads n_kv_heads norm_eps multiple_of ffn_dim_multiplier rope_theta "
        "use_scaled_rope rope_scaling_factor",
        "the embedding has the rows": "vocab_size",
        "how much Meta's code computes at once": "max_batch_size max_seq_len",
    },
    "generation_config.json": {
        SAMPLING: "max_length max_new_tokens min_length min_new_tokens early_stopping max_time stop_strings "
        "do_sample num_beams use_mtp temperature top_k top_p min_p top_h typical_p epsilon_cutoff eta_cutoff "
        "repetition_penalty encoder_repetition_penalty length_penalty no_repeat_ngram_size bad_words_ids "
        "renormalize_logits forced_bos_token_id forced_eos_token_id remove_invalid_values force_words_ids "
        "exponential_decay_length_penalty suppress_tokens begin_suppress_tokens sequence_bias token_healing "
        "guidance_scale watermarking_config num_return_sequences encoder_no_repeat_ngram_size "
        "decoder_start_token_id penalty_alpha dola_layers diversity_penalty num_beam_groups constraints "
        "forced_decoder_ids",
        "the tokenizer names its special tokens": "bos_token_id eos_token_id pad_token_id",
        "how transformers computes, with the same result": "use_cache cache_implementation cache_config "
        "max_cache_len output_attentions output_hidden_states output_scores output_logits low_memory "
        "return_dict_in_generate compile_config disable_compile continuous_batching_config "
        "return_legacy_cache prefill_chunk_size",
        "of a smaller model that assists": "is_assistant num_assistant_tokens num_assistant_tokens_schedule "
        "assistant_confidence_threshold assistant_early_exit assistant_lookbehind target_lookbehind "
        "prompt_lookup_num_tokens max_matching_ngram_size assistant_ensemble_weight speculation_type",
        "where the file comes from": "_from_model_config transformers_version generation_kwargs",
    },
    "tokenizer_config.json": {
        READ: "bos_token eos_token unk_token added_tokens_decoder add_prefix_space sp_model_kwargs "
        "do_lower_case",
        "training and prompts place BOS and EOS themselves": "add_bos_token add_eos_token",
        "text is text only, so special tokens in it are split": "split_special_tokens",
        "of spaces next to special tokens, of which a text has none": "legacy spaces_between_special_tokens",
        "no row is padded or cut by it": "pad_token pad_token_id pad_token_type_id padding padding_side "
        "pad_to_multiple_of truncation truncation_side truncation_strategy stride max_length "
        "model_max_length max_len return_token_type_ids model_input_names",
        "added_tokens has their ids": "additional_special_tokens extra_special_tokens sep_token cls_token "
        "mask_token",
        "of decoding": "clean_up_tokenization_spaces errors",
        "of chats": "chat_template response_template response_schema use_default_system_prompt "
        "chat_control_tokens",
        "which class of transformers reads the files": "tokenizer_class processor_class backend use_fast "
        "from_slow trust_remote_code is_local local_files_only",
        "where the files come from": "name_or_path tokenizer_file vocab_file special_tokens_map_file "
        "transformers_version files_loaded unsloth_version",
    },
    "tokenizer.json": {
        READ: "added_tokens normalizer pre_tokenizer post_processor decoder model truncation padding",
        "the library checks it": "version",
    },
    "tokenizer.json added token": {
        READ: "id content single_word lstrip rstrip normalized special",
    },
    "tokenizer.json model": {
        READ: "type vocab merges unk_token unk_id byte_fallback fuse_unk ignore_merges dropout "
        "continuing_subword_prefix end_of_word_suffix max_input_chars_per_word",
    },
}
# values of keys that are read, which alone are supported
REQUIRED: dict[str, dict[str, Any]] = {
    "config.json": {
        "model_type": "llama",
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "is_encoder_decoder": False,
        "add_cross_attention": False,
        "pruned_heads": {},
    },
    "tokenizer_config.json": {"sp_model_kwargs": {}, "do_lower_case": False},
    "tokenizer.json model": {"dropout": 0.0},
}
KNOWN = {part: frozenset(" ".join(keys_by_reason.values()).split()) for part, keys_by_reason in TABLE.items()}
SHOWN = 80  # letters of a value in an error


def check_keys(values: Mapping[str, Any], part: str, path: Path) -> None:
    """UserError for the first key of `values` that TABLE[part] lacks, and for a value that is not supported.

    path: the file that holds them.
    """
    for key, required in REQUIRED.get(part, {}).items():
        if values.get(key) not in (None, required):
            fix = "only Llama 2 and 3 models and their tokenizers convert"
            raise UserError(f"{path} {key}", _shorten(values[key]), f"must be {required}", fix)
    for key, value in values.items():
        if value is not None and key not in KNOWN[part]:
            rule = "is neither read nor known not to matter"
            fix = f"if it changes neither the model nor its tokens, take it out of {path.name}"
            raise UserError(f"{path} {key}", _shorten(value), rule, fix)


def check_generation_config(folder: Path) -> None:
    """UserError for a key of the folder's generation_config.json that is not known."""
    path = folder / "generation_config.json"
    check_keys(read_optional_json(path), path.name, path)


def check_tokenizer_json(values: dict, path: Path) -> None:
    """UserError for a key of a tokenizer.json, or of its model or added tokens, that is not known."""
    check_keys(values, "tokenizer.json", path)
    check_keys(values.get("model") or {}, "tokenizer.json model", path)
    for token in values.get("added_tokens") or []:
        check_keys(token, "tokenizer.json added token", path)


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
