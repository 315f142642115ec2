@cap:tools @W12
Feature: Tool results

  Background:
    Given the server under test
    And a request
    And a conversation in which the tool "get_weather" was called
    And its "max_tokens" is 1

  @MUST
  Rule: A result may have every documented shape
    "Handle tool calls": content is a string, a list of blocks, or left out; is_error marks a failure. The SDKs'
    ToolResultBlockParam.

    @id:tool-result-of-any-shape
    Scenario Outline: A tool result with <what> is answered
      Given the call's result is <result>
      When it is sent
      Then the reply is a message

      Examples:
        | what                | result                                                                                                                                        |
        | a string            | {"content": "21 degrees"}                                                                                                                     |
        | an empty string     | {"content": ""}                                                                                                                               |
        | no content          | {}                                                                                                                                            |
        | an empty list       | {"content": []}                                                                                                                               |
        | one text block      | {"content": [{"type": "text", "text": "21 degrees"}]}                                                                                         |
        | two text blocks     | {"content": [{"type": "text", "text": "21"}, {"type": "text", "text": "degrees"}]}                                                            |
        | is_error true       | {"content": "no such city", "is_error": true}                                                                                                 |
        | is_error false      | {"content": "21 degrees", "is_error": false}                                                                                                  |
        | a document          | {"content": [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "21 degrees"}}]}                             |
        | a cache breakpoint  | {"content": "21 degrees", "cache_control": {"type": "ephemeral"}}                                                                             |

    @id:tool-result-with-an-image
    Scenario: An image in a tool result is either part of the prompt or refused
      Given the call's result contains an image
      When it is sent
      Then it is answered, or refused as "invalid_request_error"
      And if it is refused, the error names "image"
      And if it is answered, its prompt is longer than without the image

    @id:tool-result-as-string-or-block @cap:token-counting
    Scenario: A tool result as a string has the same token count as one text block
      Given the call's result is {"content": "21 degrees"}
      And another request whose "messages.2.content.0.content" is [{"type": "text", "text": "21 degrees"}]
      When the tokens of both requests are counted
      Then both counts are the same

    @id:tool-result-is-counted @cap:token-counting
    Scenario: A tool result is part of the prompt
      Given the call's result is {"content": "21"}
      And another request whose "messages.2.content.0.content" is "21 degrees in the shade, and rather more of them in the sun, with a light wind from the sea"
      When the tokens of both requests are counted
      Then the other request's count is larger by at least 10

    @id:tool-input-is-counted @cap:token-counting
    Scenario: A call's input is part of the prompt
      Given the call's result is {"content": "21"}
      And another request whose "messages.1.content.0.input" is {"city": "The church of Saint Mary in the hollow of the white hazel near the rapid whirlpool", "days": 2}
      When the tokens of both requests are counted
      Then the other request's count is larger by at least 10

    @id:tool-result-count-equals-usage @cap:token-counting @W17
    Scenario: The token count of calls and results equals the usage
      Given the call's result is {"content": "21 degrees", "is_error": true}
      When its tokens are counted
      And it is sent
      Then the count equals the reply's usage

    @id:text-after-a-tool-result
    Scenario: Text may follow a tool result in the same turn
      "Handle tool calls": in the user's turn the results come first, then the text.
      Given the call's result is {"content": "21 degrees"}
      And the result is followed by {"type": "text", "text": "And tomorrow?"}
      When it is sent
      Then the reply is a message

    @id:several-tool-results
    Scenario: The results of several calls may come in any order within one turn
      "Parallel tool use": all results go into one user turn.
      Given two calls with their results in reverse order
      When it is sent
      Then the reply is a message

    @id:text-before-a-call
    Scenario: The model's text before a call is accepted when it is sent back
      Given the call's result is {"content": "21 degrees"}
      And its "messages.1.content" is [{"type": "text", "text": "Let me see."}, {"type": "tool_use", "id": "toolu_01", "name": "get_weather", "input": {"city": "Oslo", "days": 1}}]
      When it is sent
      Then the reply is a message

    @id:tools-that-are-no-longer-offered
    Scenario: A call of a tool that is no longer offered is accepted
      Given the call's result is {"content": "21 degrees"}
      And another request whose "tools" is [{"name": "get_time", "input_schema": {"type": "object"}}]
      When both requests are sent
      Then both replies are messages

  @W18 @MUST
  Rule: Every result needs its call, and every call its result
    Anthropic's own refusals: "unexpected tool_use_id found in tool_result blocks", and "tool_use ids were found without
    tool_result blocks immediately after". "Handle tool calls": results immediately follow their calls.

    @id:tool-result-without-its-call
    Scenario: A result without its call is refused by its id
      Given the call's result is {"content": "21 degrees", "tool_use_id": "toolu_unknown"}
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "toolu_unknown"

    @id:tool-result-at-the-beginning
    Scenario: A result in the first turn is refused by its id
      Given its "messages" is [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_unknown", "content": "x"}]}]
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "toolu_unknown"

    @id:call-without-its-result
    Scenario Outline: A call followed by <what> instead of its result is refused by its id
      Given its "messages.2.content" is <content>
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "toolu_01"

      Examples:
        | what           | content                                     |
        | a string       | "Never mind."                               |
        | a text block   | [{"type": "text", "text": "Never mind."}]   |

    @id:tool-result-that-is-wrong
    Scenario Outline: A tool result with <what> is refused
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
  Rule: A deferred tool stays out of the prompt until it is referenced
    "Tool search": tools with defer_loading are not in the prompt; a tool_reference in a result brings one in. Claude Code sends
    dozens of deferred tools.

    @id:deferred-tool-is-not-counted
    Scenario: A deferred tool does not add to the token count
      Given the call's result is {"content": "nothing found"}
      And another request that also offers the deferred tool "paint_a_picture"
      When the tokens of both requests are counted
      Then both counts are the same

    @id:referenced-tool-is-counted
    Scenario: A referenced tool adds to the token count
      Given the call's result is {"content": "nothing found"}
      And another request that also offers the deferred tool "paint_a_picture" and references it
      When the tokens of both requests are counted
      Then the other request's count is larger

    @id:referenced-tool-is-answered
    Scenario: A conversation that references a deferred tool is answered
      Given another request that also offers the deferred tool "paint_a_picture" and references it
      When the other request is sent
      Then the reply is a message
