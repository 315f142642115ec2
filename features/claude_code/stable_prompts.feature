@cap:stable-prompts @C1
Feature: What changes by itself is no part of the prompt
  Whatever differs in the prompt from one request to the next makes a server compute everything behind it again. Claude
  Code's requests carry such things, which the model has no use for.

  Background:
    Given the server under test
    And a request

  @SHOULD
  Rule: What a client says about itself is left out
    Claude Code's first system block is a line of accounting, with a hash that differs from session to session, and in older
    versions from request to request. Its notes of tokens left change with every request.

    @id:billing-line-is-no-prompt
    Scenario Outline: <what> adds no token
      Given its "system" is <one>
      And another request whose "system" is <other>
      When the tokens of both are counted
      Then both counts are the same

      Examples:
        | what                          | one                                                                     | other                                                                                                                                                   |
        | another billing block         | [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.328.abc; cc_entrypoint=cli;"}, {"type": "text", "text": "Be brief."}] | [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.328.0123456789abcdef; cc_entrypoint=sdk-cli; cch=fedcba;"}, {"type": "text", "text": "Be brief."}] |
        | a billing block               | "Be brief."                                                             | [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.328.abc; cc_entrypoint=cli;"}, {"type": "text", "text": "Be brief."}]               |
        | another figure of tokens left | "Be brief. <total_tokens>123456 tokens left</total_tokens>"             | "Be brief. <total_tokens>9 tokens left</total_tokens>"                                                                                                  |

  @SHOULD
  Rule: How a message is written down does not change the prompt
    Claude Code writes the last message as blocks, to mark it with cache_control, and as a string in the next request.

    @id:form-of-a-message-is-no-prompt
    Scenario Outline: A message written as <what> counts the same
      Given its "messages" is [{"role": "user", "content": "Hello."}]
      And another request whose "messages" is <other>
      When the tokens of both are counted
      Then both counts are the same

      Examples:
        | what                    | other                                                                                                                        |
        | one block               | [{"role": "user", "content": [{"type": "text", "text": "Hello."}]}]                                                          |
        | a marked block          | [{"role": "user", "content": [{"type": "text", "text": "Hello.", "cache_control": {"type": "ephemeral"}}]}]                  |
        | one marked for an hour  | [{"role": "user", "content": [{"type": "text", "text": "Hello.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}]     |
