"""What reads bytes from outside, and files of our own, under random changes."""
