"""Unisono: a high-availability cluster engine; processes see the same messages in the same order."""
