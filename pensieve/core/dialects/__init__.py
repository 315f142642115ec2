"""How each family of models writes its thinking and tool calls, as data, with one reader and one grammar for all."""
