@cap:stable-prompts @C1
Feature: Text that changes with every request stays out of the prompt
  When a prompt changes, a server has to compute everything after the change again. Claude Code's requests carry text that
  changes with every request and that the model does not need.

  Background:
    Given the server under test
    And a request

  @SHOULD
  Rule: A client's bookkeeping is left out of the prompt
    Claude Code's first system block is a billing line. Its hash differs between sessions and, in older versions, between
    requests. Its notes on the tokens left change with every request.

    @id:billing-line-is-no-prompt
    Scenario Outline: The token count is the same with <what>
      Given its "system" is <one>
      And another request whose "system" is <other>
      When the tokens of both requests are counted
      Then both counts are the same

      Examples:
        | what                          | one                                                                     | other                                                                                                                                                   |
        | another billing line          | [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.328.abc; cc_entrypoint=cli;"}, {"type": "text", "text": "Be brief."}] | [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.328.0123456789abcdef; cc_entrypoint=sdk-cli; cch=fedcba;"}, {"type": "text", "text": "Be brief."}] |
        | a billing line added          | "Be brief."                                                             | [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.328.abc; cc_entrypoint=cli;"}, {"type": "text", "text": "Be brief."}]               |
        | another number of tokens left | "Be brief. <total_tokens>123456 tokens left</total_tokens>"             | "Be brief. <total_tokens>9 tokens left</total_tokens>"                                                                                                  |

  @SHOULD
  Rule: The form of a message does not change the prompt
    Claude Code sends the last message as blocks, to mark it with cache_control, and as a string in the next request.

    @id:form-of-a-message-is-no-prompt
    Scenario Outline: A message sent as <what> has the same token count as a string
      Given its "messages" is [{"role": "user", "content": "Hello."}]
      And another request whose "messages" is <other>
      When the tokens of both requests are counted
      Then both counts are the same

      Examples:
        | what                    | other                                                                                                                        |
        | one block               | [{"role": "user", "content": [{"type": "text", "text": "Hello."}]}]                                                          |
        | a block with a marker   | [{"role": "user", "content": [{"type": "text", "text": "Hello.", "cache_control": {"type": "ephemeral"}}]}]                  |
        | a block kept for 1 hour | [{"role": "user", "content": [{"type": "text", "text": "Hello.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}]     |
