"""Runs every scenario of the chapters in this folder."""

from pytest_bdd import scenarios

scenarios(".")
