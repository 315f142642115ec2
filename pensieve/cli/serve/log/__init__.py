"""Where the server's log goes, and in what form."""
