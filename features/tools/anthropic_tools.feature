@cap:anthropic-tools @W14 @W22
Feature: Tools that Anthropic defines

  Background:
    Given the server under test
    And a request
    And its "max_tokens" is 40

  @MUST
  Rule: A tool that the client runs is known by its type alone
    "Tool reference": bash, the text editor and memory have neither description nor schema in a request; both belong to
    the type. "Bash tool", "Text editor tool" and "Memory tool" define the input that a client must be ready for.

    @id:client-tool-is-counted @cap:token-counting
    Scenario Outline: The tool <type> is part of the prompt
      Given it offers the tool "get_weather"
      And another request that also offers {"type": "<type>", "name": "<name>"}
      When the tokens of both requests are counted
      Then the other request's count is larger by at least 30

      Examples:
        | type                 | name                        |
        | bash_20250124        | bash                        |
        | text_editor_20250124 | str_replace_editor          |
        | text_editor_20250429 | str_replace_based_edit_tool |
        | text_editor_20250728 | str_replace_based_edit_tool |
        | memory_20250818      | memory                      |

    @id:client-tool-is-called
    Scenario Outline: A forced call of the tool <type> has its name and takes the input that it defines
      A model may write a longer text than max_tokens allows: then the input is the beginning of such an input.
      Given it offers {"type": "<type>", "name": "<name>"}
      And it must call the tool "<name>"
      When it is sent
      Then the reply calls "<name>" with input for the type "<type>"

      Examples:
        | type            | name   |
        | bash_20250124   | bash   |
        | memory_20250818 | memory |

    @id:client-tool-is-called-unforced
    Scenario: The model calls the bash tool by itself, beside a tool of the client's own
      Given a server that plays the script
      And a request saying "List the files."
      And its "max_tokens" is 80
      And it offers the tool "get_weather"
      And it also offers {"type": "bash_20250124", "name": "bash"}
      When it is sent
      Then the reply's only call is to "bash" with {"command": "ls"}
      And the reply's stop reason is "tool_use"

    @id:sdk-memory-tool-runs
    Scenario: The SDK's memory tool writes the file that the model asks for
      The SDK: BetaLocalFilesystemMemoryTool with client.beta.messages.tool_runner.
      Given a server that plays the script
      When the SDK's memory tool is given "Remember that I like tea."
      Then its file "/memories/drinks.txt" has the text "The user likes tea."
      And it ended with a text answer

    @id:input-examples-are-counted @cap:token-counting
    Scenario: A tool's input_examples are part of the prompt
      "Define tools", providing tool use examples: they are included in the prompt and add tokens.
      Given it offers the tool "get_weather"
      And another request whose "tools.0.input_examples" is [{"unit": "celsius"}, {"unit": "fahrenheit"}]
      When the tokens of both requests are counted
      Then the other request's count is larger

  @W18 @MUST
  Rule: A tool that the server does not know is refused by name
    "Errors": 400 invalid_request_error. A tool that is left out without a word makes the model answer as if it had none.

    @id:tool-of-an-unknown-type
    Scenario Outline: A tool of <trouble> is refused
      Given it offers the tool "get_weather"
      And it also offers <tool>
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "<word>"

      Examples:
        | trouble                       | tool                                           | word     |
        | an unknown type               | {"type": "hologram_20270101", "name": "show"}  | hologram |
        | a known type and a wrong name | {"type": "bash_20250124", "name": "shell"}     | bash     |
        | a known type and no name      | {"type": "bash_20250124"}                      | name     |

    @id:picture-tool-is-seen-or-refused @cap:token-counting
    Scenario Outline: The tool <type> is part of the prompt, or refused by name
      "Computer use tool": it sends pictures, which not every model can see.
      Given it offers the tool "get_weather"
      And another request that also offers <tool>
      When the tokens of both requests are counted
      Then the other request's count is larger, or it is refused naming "<type>"

      Examples:
        | type     | tool                                                                                                 |
        | computer | {"type": "computer_20250124", "name": "computer", "display_width_px": 800, "display_height_px": 600} |
        | browser  | {"type": "browser_toolset_20260801"}                                                                 |

  @MUST
  Rule: A tool that the server must run is run, or fails openly
    "Server tools": the API runs web_search and its like, and reports a failure in the result block, such as
    web_search_tool_result_error. A server that left them out would let the model invent what it cannot look up.

    @id:forced-server-tool-is-used-or-refused
    Scenario Outline: When only <name> may be used, the server uses it or refuses the request by name
      Given it offers {"type": "<type>", "name": "<name>"}
      And its "tool_choice" is <choice>
      When it is sent
      Then the reply uses the server tool "<name>", or it is refused naming "<name>"

      Examples:
        | name           | type                   | choice                                   |
        | web_search     | web_search_20250305    | {"type": "tool", "name": "web_search"}   |
        | web_search     | web_search_20250305    | {"type": "any"}                          |
        | web_fetch      | web_fetch_20250910     | {"type": "any"}                          |
        | code_execution | code_execution_20250825 | {"type": "any"}                         |

    @id:server-tool-is-counted-or-refused @cap:token-counting
    Scenario Outline: Beside another tool, <name> is part of the prompt or refused by name
      Given it offers the tool "get_weather"
      And another request that also offers {"type": "<type>", "name": "<name>"}
      When the tokens of both requests are counted
      Then the other request's count is larger, or it is refused naming "<name>"

      Examples:
        | name           | type                    |
        | web_search     | web_search_20250305     |
        | web_fetch      | web_fetch_20250910      |
        | code_execution | code_execution_20250825 |

    @id:server-call-has-its-result
    Scenario Outline: Each call of a server tool is followed by its result when <sent>
      Given a server that plays the script
      And a request saying "Search the web for tea."
      And its "max_tokens" is 80
      And it offers the tool "get_weather"
      And it also offers {"type": "web_search_20250305", "name": "web_search"}
      When it is <sent>
      Then each server call of the <what> has its result, or the request is refused naming "web_search"

      Examples:
        | sent     | what   |
        | sent     | reply  |
        | streamed | stream |

  @cap:tool-search @cap:token-counting @MUST
  Rule: A tool search leaves no tool out of the model's reach
    "Tool search tool": the model finds deferred tools through it. A server that runs no search shows them.

    @id:tool-search-hides-nothing
    Scenario: With a tool search, a deferred tool is found or shown
      Given it offers the tool "get_weather"
      And it also offers {"name": "paint", "description": "Paints a picture.", "input_schema": {"type": "object"}, "defer_loading": true}
      And another request that also offers {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
      When the tokens of both requests are counted
      Then the other request's count is larger, or it is refused naming "tool_search"

    @id:deferred-tools-alone
    Scenario: Tools that are all deferred, and that nothing could find, are shown or refused
      "Tool search tool", error handling: "All tools have defer_loading set. At least one tool must be non-deferred."
      Given another request that offers {"name": "paint", "description": "Paints a picture.", "input_schema": {"type": "object"}, "defer_loading": true}
      When both requests are sent
      Then the other reply's prompt is longer, or it is refused naming "defer_loading"
