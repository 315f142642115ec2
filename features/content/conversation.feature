@W12
Feature: The content of a conversation
  Blocks other than text, except for documents, images and tools, which have chapters of their own.

  Background:
    Given the server under test
    And a request
    And its "max_tokens" is 1

  @cap:messages @SHOULD
  Rule: A block of an unknown type does not break the conversation
    Claude Code and the SDKs put blocks into a conversation that are newer than the server, and send the whole conversation
    with every turn: one refusal would end it.

    @id:unknown-block-is-ignored
    Scenario Outline: An unknown block in <whose> turn does not end the conversation
      Given its "messages" is <messages>
      When it is sent
      Then the reply is a message

      Examples:
        | whose           | messages                                                                                                                                                                                          |
        | the user's      | [{"role": "user", "content": [{"type": "block_of_tomorrow", "depth": {"is": 3}}, {"type": "text", "text": "Hello."}]}]                                                                             |
        | the assistant's | [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": [{"type": "text", "text": "Hi."}, {"type": "block_of_tomorrow", "data": "x"}]}, {"role": "user", "content": "Go on."}] |

    @id:unknown-fields-of-a-block-are-ignored
    Scenario: Unknown fields of a block are ignored
      Given its "messages.0.content" is [{"type": "text", "text": "Hello."}]
      And another request whose "messages.0.content" is [{"type": "text", "text": "Hello.", "cache_control": {"type": "ephemeral", "ttl": "1h"}, "of_tomorrow": [1]}]
      When both requests are sent
      Then both replies have the same answer

  @cap:system-in-messages @MUST
  Rule: A system message within the conversation is read in place
    The SDKs' MessageParam has the role system. Claude Code sends its environment as the second message, and notes later.

    @id:system-message-is-answered
    Scenario Outline: A system message <where> is answered
      Given its "messages" is <messages>
      When it is sent
      Then the reply is a message

      Examples:
        | where                   | messages                                                                                                                                                                             |
        | after the first message | [{"role": "user", "content": "Hello."}, {"role": "system", "content": "It is a Monday."}]                                                                                            |
        | between two turns       | [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hi."}, {"role": "system", "content": "It is a Monday."}, {"role": "user", "content": "What day is it?"}] |
        | as an array of blocks   | [{"role": "user", "content": "Hello."}, {"role": "system", "content": [{"type": "text", "text": "It is a Monday."}]}, {"role": "user", "content": "What day is it?"}]               |

    @id:system-message-is-counted @cap:token-counting
    Scenario: A system message in the conversation is part of the prompt
      Given its "messages" is [{"role": "user", "content": "Hello."}, {"role": "system", "content": "Now."}]
      And another request whose "messages.1.content" is "It is a Monday of a long week in the middle of a very cold winter by the sea."
      When the tokens of both requests are counted
      Then the other request's count is larger

  @cap:thinking @SHOULD
  Rule: A conversation that began on another server can continue
    "Extended thinking", redacted_thinking and passing blocks back: clients return these blocks unchanged. A conversation
    from elsewhere has signatures that this server never made. A SHOULD, since Anthropic refuses foreign signatures.

    @id:foreign-thinking-is-accepted
    Scenario Outline: <what> from another server is accepted
      Given its "messages" is [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": [<block>, {"type": "text", "text": "Hi."}]}, {"role": "user", "content": "Go on."}]
      When it is sent
      Then the reply is a message

      Examples:
        | what              | block                                                                          |
        | A thinking block  | {"type": "thinking", "thinking": "They greet me.", "signature": "c2lnbmF0dXJl"} |
        | Redacted thinking | {"type": "redacted_thinking", "data": "ZW5jcnlwdGVk"}                           |
