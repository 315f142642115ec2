"""Every scenario of this folder's chapters."""

from pytest_bdd import scenarios

scenarios("claude_code")
