@cap:tools @W12
Feature: Results of calls come back

  Background:
    Given the server under test
    And a request
    And a conversation in which the tool "get_weather" was called
    And its "max_tokens" is 1

  @MUST
  Rule: A result has any shape that the API gives it
    "Handle tool calls": content is a string, a list of blocks, or left out; is_error marks a failure. The SDKs'
    ToolResultBlockParam.

    @id:tool-result-of-any-shape
    Scenario Outline: A result with <what> is answered
      Given the call's result is <result>
      When it is sent
      Then the reply is a message

      Examples:
        | what                | result                                                                                                                                        |
        | a string            | {"content": "21 degrees"}                                                                                                                     |
        | no string at all    | {"content": ""}                                                                                                                               |
        | no content          | {}                                                                                                                                            |
        | an empty list       | {"content": []}                                                                                                                               |
        | a block of text     | {"content": [{"type": "text", "text": "21 degrees"}]}                                                                                         |
        | blocks of text      | {"content": [{"type": "text", "text": "21"}, {"type": "text", "text": "degrees"}]}                                                            |
        | a failure           | {"content": "no such city", "is_error": true}                                                                                                 |
        | no failure          | {"content": "21 degrees", "is_error": false}                                                                                                  |
        | a document          | {"content": [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "21 degrees"}}]}                             |
        | a cache breakpoint  | {"content": "21 degrees", "cache_control": {"type": "ephemeral"}}                                                                             |

    @id:tool-result-with-an-image
    Scenario: A result with an image is no failure of the server
      Given the call's result holds an image
      When it is sent
      Then it is answered, or refused as "invalid_request_error"
      And if it is refused, the error names "image"
      And if it is answered, its prompt is longer than without the image

    @id:tool-result-as-string-or-block @cap:token-counting
    Scenario: A string and one block of the same text are the same result
      Given the call's result is {"content": "21 degrees"}
      And another request whose "messages.2.content.0.content" is [{"type": "text", "text": "21 degrees"}]
      When the tokens of both are counted
      Then both counts are the same

    @id:tool-result-is-counted @cap:token-counting
    Scenario: A result is part of the prompt
      Given the call's result is {"content": "21"}
      And another request whose "messages.2.content.0.content" is "21 degrees in the shade, and rather more of them in the sun, with a light wind from the sea"
      When the tokens of both are counted
      Then the other's count is larger by at least 10

    @id:tool-input-is-counted @cap:token-counting
    Scenario: What the model asked is part of the prompt
      Given the call's result is {"content": "21"}
      And another request whose "messages.1.content.0.input" is {"city": "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch", "days": 2}
      When the tokens of both are counted
      Then the other's count is larger by at least 10

    @id:tool-result-count-equals-usage @cap:token-counting @W17
    Scenario: Calls and results are counted as they are used
      Given the call's result is {"content": "21 degrees", "is_error": true}
      When its tokens are counted
      And it is sent
      Then the count is the reply's usage

    @id:text-after-a-tool-result
    Scenario: Text may follow a result in its turn
      "Handle tool calls": in the user's turn the results come first, and text after them.
      Given the call's result is {"content": "21 degrees"}
      And its "messages.2.content.1" follows as {"type": "text", "text": "And tomorrow?"}
      When it is sent
      Then the reply is a message

    @id:several-tool-results
    Scenario: Several calls have several results in one turn, in any order
      "Parallel tool use": all results stand in one turn of the user.
      Given two calls with their results the other way round
      When it is sent
      Then the reply is a message

    @id:text-before-a-call
    Scenario: The model's words before a call come back with it
      Given the call's result is {"content": "21 degrees"}
      And its "messages.1.content" is [{"type": "text", "text": "Let me see."}, {"type": "tool_use", "id": "toolu_01", "name": "get_weather", "input": {"city": "Oslo", "days": 1}}]
      When it is sent
      Then the reply is a message

    @id:tools-that-are-no-longer-offered
    Scenario: A call of a tool that is no longer offered is history
      Given the call's result is {"content": "21 degrees"}
      And another request whose "tools" is [{"name": "get_time", "input_schema": {"type": "object"}}]
      When both are sent
      Then both replies are messages

  @W18 @MUST
  Rule: Calls and results belong together
    Anthropic's own refusals: "unexpected tool_use_id found in tool_result blocks", and "tool_use ids were found without
    tool_result blocks immediately after". "Handle tool calls": results immediately follow their calls.

    @id:tool-result-without-its-call
    Scenario: A result of no call is refused, by its id
      Given the call's result is {"content": "21 degrees", "tool_use_id": "toolu_of_nobody"}
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "toolu_of_nobody"

    @id:tool-result-at-the-beginning
    Scenario: A result in the first turn is refused, by its id
      Given its "messages" is [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_of_nobody", "content": "x"}]}]
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "toolu_of_nobody"

    @id:call-without-its-result
    Scenario Outline: A call that is followed by <what> is refused, by its id
      Given its "messages.2.content" is <content>
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "toolu_01"

      Examples:
        | what           | content                                     |
        | a string       | "Never mind."                               |
        | blocks of text | [{"type": "text", "text": "Never mind."}]   |

    @id:tool-result-that-is-wrong
    Scenario Outline: A result with <what> is refused
      Given the call's result is <result>
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "<name>"

      Examples:
        | what           | result                          | name        |
        | an id of 7     | {"tool_use_id": 7}              | tool_use_id |
        | content of 7   | {"content": 7}                  | content     |
        | is_error "no"  | {"content": "", "is_error": "no"} | is_error  |

  @cap:tool-search @cap:token-counting @MUST
  Rule: A deferred tool is no part of the prompt until it is referred to
    "Tool search": tools with defer_loading are not in the prompt; a tool_reference in a result brings one in. Claude Code sends
    dozens of them.

    @id:deferred-tool-is-not-counted
    Scenario: A deferred tool does not count
      Given the call's result is {"content": "nothing found"}
      And another that offers the deferred tool "paint_a_picture" besides
      When the tokens of both are counted
      Then both counts are the same

    @id:referenced-tool-is-counted
    Scenario: A tool that is referred to counts
      Given the call's result is {"content": "nothing found"}
      And another that offers the deferred tool "paint_a_picture" besides, and refers to it
      When the tokens of both are counted
      Then the other's count is larger

    @id:referenced-tool-is-answered
    Scenario: A conversation that refers to a deferred tool is answered
      Given another that offers the deferred tool "paint_a_picture" besides, and refers to it
      When the other is sent
      Then the reply is a message
