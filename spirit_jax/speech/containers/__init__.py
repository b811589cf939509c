"""How sound files are put together: what libsndfile, which decodes them, does not say."""

Fault = tuple[str, str]  # a reason of BadAudio, and its detail
JOINED: Fault = "joined", "a second sound follows the first; cut the file, or encode it again as one"
