"""The text of PDFs, read by processes that can be stopped."""
