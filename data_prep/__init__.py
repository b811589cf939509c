"""Offline preparation: recordings and texts in, token shards out (`python -m data_prep --help`)."""
