import pickle

from spirit_jax.core.errors import UserError


def test_a_users_error_comes_from_another_process_as_it_was():
    error = pickle.loads(pickle.dumps(UserError("voice", "en-xx", "is unknown", "use en")))
    assert str(error) == "voice = en-xx: is unknown; use en"
    assert error.rule == "is unknown"
