"""Whether the files of a folder can be what they state: numbers, packing, token ids, and bytes."""
