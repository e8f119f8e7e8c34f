"""Forced alignment: phone times of recorded people whose words are known."""
