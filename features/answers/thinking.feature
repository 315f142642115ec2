@cap:thinking @W15
Feature: Thinking

  @MUST
  Rule: Every thinking configuration is accepted
    "Extended thinking" and "Adaptive thinking": thinking is disabled, enabled with a budget, or adaptive. The SDKs'
    ThinkingConfigParam. Claude Code sends adaptive with every request.

    @id:thinking-is-accepted
    Scenario Outline: The thinking configuration <thinking> is accepted
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
      The stop sequences end the answer early; max_tokens cannot, because the smallest budget is 1024 tokens.
      Given the server under test
      And a request
      And its "thinking" is {"type": "enabled", "budget_tokens": 1024}
      And its "max_tokens" is 1040
      And its "stop_sequences" is ["a", "e", "i", "o", "u", "."]
      When it is sent
      Then the reply is a message

    @id:thinking-that-is-wrong @W18
    Scenario Outline: The thinking configuration <thinking> is refused
      "Extended thinking": the budget is at least 1024 and less than max_tokens.
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
  Rule: The model's thinking comes as a signed block before its answer
    "Extended thinking", how it works: a thinking block with its signature, then text. "Streaming Messages": thinking_delta
    events, and a signature_delta just before content_block_stop.

    Background:
      Given a server that plays the script
      And a request saying "Reason before you answer."
      And its "max_tokens" is 1200
      And its "thinking" is {"type": "enabled", "budget_tokens": 1024}

    @id:thinking-comes-before-text
    Scenario: A reply with thinking is a thinking block, then text
      When it is sent
      Then the reply's blocks are thinking and text
      And each thinking block has thinking and a signature
      And the text contains none of the thinking

    @id:thinking-is-streamed @cap:streaming
    Scenario: A stream with thinking follows the grammar and matches the reply
      When it is sent
      And it is streamed
      Then the stream satisfies every clause
      And the stream matches the reply
      And the stream's blocks are thinking and text

    @id:thinking-is-signed-at-its-end @cap:streaming
    Scenario: Each streamed thinking block ends with one signature
      When it is streamed
      Then each thinking block has thinking deltas, then one signature

    @id:thinking-has-its-fields @cap:streaming
    Scenario: The official SDK's types accept every raw event of a stream with thinking
      The SDKs read thinking and signature from content_block_start, where both are empty.
      Given the official SDK, with strict validation
      When it is streamed
      Then the SDK's types accept every event except ping
      And each thinking block starts with an empty signature

    @id:thinking-is-counted @W17
    Scenario: Thinking tokens count as output tokens
      "Extended thinking", pricing: thinking tokens are output tokens.
      When it is sent
      Then its usage has more output tokens than its text has words

    @id:thinking-tokens-are-reported @W17
    Scenario: Usage says how many of the output tokens were thinking
      "Messages API reference", usage.output_tokens_details: the tokens of the reasoning and of the marks around it.
      When it is sent
      And it is streamed
      Then its usage has thinking tokens, but fewer than output tokens
      And the stream's usage has the same thinking tokens

    @id:thinking-comes-back
    Scenario: A thinking block that is sent back is accepted
      "Extended thinking", passing blocks back: unchanged, with the text or call that followed them.
      When it is sent
      And its answer is sent back with another question
      Then the reply is a message

    @id:thinking-is-omitted
    Scenario: With display omitted, a thinking block has a signature and no thinking
      The SDKs' ThinkingConfigParam: content is redacted, but a signature is returned so that the conversation can continue.
      Given its "thinking" is {"type": "enabled", "budget_tokens": 1024, "display": "omitted"}
      When it is sent
      Then the reply's blocks are thinking and text
      And each thinking block has a signature and no thinking

  @MUST
  Rule: A request without thinking gets no thinking block
    "Extended thinking": thinking is off unless the request enables it; clients that did not enable it do not expect its blocks.

    @id:no-thinking-when-disabled
    Scenario Outline: With thinking set to <thinking>, the reply has no thinking block
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
