"""Tests of multi-token-prediction heads as files hold them."""
