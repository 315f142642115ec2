@cap:thinking @W15
Feature: Thinking

  @MUST
  Rule: Each form of thinking is accepted
    "Extended thinking" and "Adaptive thinking": thinking is disabled, enabled with a budget, or adaptive. The SDKs'
    ThinkingConfigParam. Claude Code sends adaptive with every request.

    @id:thinking-is-accepted
    Scenario Outline: <thinking> is accepted
      Given the server under test
      And a request
      And its "thinking" is <thinking>
      When it is sent
      Then the reply is a message

      Examples:
        | thinking                                    |
        | {"type": "disabled"}                        |
        | {"type": "adaptive"}                        |
        | {"type": "adaptive", "display": "omitted"}  |
        | {"type": "between_tools"}                   |

    @id:thinking-with-a-budget-is-accepted
    Scenario: Thinking with a budget is accepted
      The stop sequences end the answer soon, which max_tokens cannot: a budget is of 1024 tokens at least.
      Given the server under test
      And a request
      And its "thinking" is {"type": "enabled", "budget_tokens": 1024}
      And its "max_tokens" is 1040
      And its "stop_sequences" is ["a", "e", "i", "o", "u", "."]
      When it is sent
      Then the reply is a message

    @id:thinking-that-is-wrong @W18
    Scenario Outline: <thinking> is refused
      "Extended thinking": the budget is 1024 at least, and less than max_tokens.
      Given the server under test
      And a request
      And its "max_tokens" is 2000
      And its "thinking" is <thinking>
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "<name>"

      Examples:
        | thinking                                     | name          |
        | "on"                                         | thinking      |
        | {"type": "sometimes"}                        | thinking      |
        | {"type": "enabled"}                          | budget_tokens |
        | {"type": "enabled", "budget_tokens": 1023}   | budget_tokens |
        | {"type": "enabled", "budget_tokens": 2000}   | budget_tokens |
        | {"type": "enabled", "budget_tokens": "much"} | budget_tokens |

  @MUST
  Rule: What the model thinks comes as a signed block before its answer
    "Extended thinking", how it works: a thinking block with its signature, then text. "Streaming Messages": thinking_delta
    events, and a signature_delta just before content_block_stop.

    Background:
      Given a server that plays the script
      And a request saying "Reason before you answer."
      And its "max_tokens" is 1200
      And its "thinking" is {"type": "enabled", "budget_tokens": 1024}

    @id:thinking-comes-before-text
    Scenario: The reply is a thinking block, then text
      When it is sent
      Then the reply has blocks of thinking and text
      And each thinking block has thinking and a signature
      And the text holds none of the thinking

    @id:thinking-is-streamed @cap:streaming
    Scenario: The stream keeps the grammar, and says the same
      When it is sent
      And it is streamed
      Then the stream keeps every clause
      And the stream says what the reply says
      And the stream has blocks of thinking and text

    @id:thinking-is-signed-at-its-end @cap:streaming
    Scenario: One signature ends each streamed thinking block
      When it is streamed
      Then each thinking block has deltas of thinking, then one signature

    @id:thinking-has-its-fields @cap:streaming
    Scenario: Each raw event is one that the official SDK's types know
      The SDKs read thinking and signature off content_block_start, where both are empty.
      Given the official SDK, with strict validation
      When it is streamed
      Then the SDK's types know each event but ping
      And each thinking block starts with an empty signature

    @id:thinking-is-counted @W17
    Scenario: Thinking is part of the output's tokens
      "Extended thinking", pricing: the tokens of thinking are output tokens.
      When it is sent
      Then it has more output tokens than its text has words

    @id:thinking-comes-back
    Scenario: A thinking block that is sent back is accepted
      "Extended thinking", passing blocks back: unchanged, with the text or the call that came after it.
      When it is sent
      And its answer is sent back with another question
      Then the reply is a message

    @id:thinking-is-omitted
    Scenario: With display omitted, thinking is signed for and not shown
      The SDKs' ThinkingConfigParam: content is redacted, but a signature is returned for the conversation to go on with.
      Given its "thinking" is {"type": "enabled", "budget_tokens": 1024, "display": "omitted"}
      When it is sent
      Then the reply has blocks of thinking and text
      And each thinking block has a signature and no thinking

  @MUST
  Rule: Without thinking there is no thinking block
    "Extended thinking": thinking is off unless it is switched on; clients that did not ask for it do not look for its blocks.

    @id:no-thinking-when-disabled
    Scenario Outline: With thinking <thinking>, no thinking block comes
      Given a server that plays the script
      And a request saying "Reason before you answer."
      And its "max_tokens" is 100
      And its "thinking" is <thinking>
      When it is sent
      Then it has no thinking block

      Examples:
        | thinking             |
        | {"type": "disabled"} |
        | null                 |
