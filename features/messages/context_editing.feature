@cap:context-editing @W12
Feature: Context editing
  "Context editing": the server clears old parts of the conversation before the model reads it, and reports what it cleared.

  Background:
    Given the server under test
    And a request
    And its "max_tokens" is 1
    And it uses the betas "context-management-2025-06-27"

  @MUST
  Rule: Old tool results are cleared once the prompt exceeds the trigger
    "Context editing", configuration options for tool result clearing: the oldest results beyond keep become a short placeholder;
    exclude_tools names tools that are never cleared; clear_at_least is a minimum below which nothing is cleared.

    @id:results-are-cleared
    Scenario: All results but the latest are cleared, and the prompt is shorter by the tokens reported
      Given a conversation with three long results of the tool "read_file"
      And its "context_management" is {"edits": [{"type": "clear_tool_uses_20250919", "trigger": {"type": "tool_uses", "value": 2}, "keep": {"type": "tool_uses", "value": 1}}]}
      When it is sent without "context_management", and then with it
      Then its applied edits are one "clear_tool_uses_20250919" with 2 "cleared_tool_uses"
      And its prompt is shorter by the tokens that its applied edits report

    @id:results-are-kept
    Scenario Outline: No result is cleared when <why>
      Given a conversation with three long results of the tool "read_file"
      And its "context_management" is {"edits": [{"type": "clear_tool_uses_20250919", <options>}]}
      When it is sent without "context_management", and then with it
      Then its applied edits are empty
      And both prompts are of the same length

      Examples:
        | why                           | options                                                                                                    |
        | the trigger is not exceeded   | "trigger": {"type": "input_tokens", "value": 50000}                                                        |
        | all results are kept          | "trigger": {"type": "tool_uses", "value": 1}, "keep": {"type": "tool_uses", "value": 3}                     |
        | the tool is excluded          | "trigger": {"type": "tool_uses", "value": 1}, "keep": {"type": "tool_uses", "value": 1}, "exclude_tools": ["read_file"] |
        | too few tokens can be cleared | "trigger": {"type": "tool_uses", "value": 1}, "keep": {"type": "tool_uses", "value": 1}, "clear_at_least": {"type": "input_tokens", "value": 50000} |

    @id:results-and-inputs-are-cleared
    Scenario: With clear_tool_inputs, more tokens are cleared than without
      Given a conversation with three long results of the tool "read_file"
      And its "context_management" is {"edits": [{"type": "clear_tool_uses_20250919", "trigger": {"type": "tool_uses", "value": 1}, "keep": {"type": "tool_uses", "value": 1}}]}
      And another request whose "context_management.edits.0.clear_tool_inputs" is true
      When both requests are sent
      Then the other request's applied edits clear more tokens

  @MUST
  Rule: Thinking of older turns is cleared as the request says
    "Context editing", configuration options for thinking block clearing: keep is "all", or a number of turns with thinking. Claude
    Code sends "all" with every request.

    @id:all-thinking-is-kept
    Scenario: With keep set to all, no edit is applied
      Given its "max_tokens" is 1100
      And its "stop_sequences" is ["a", "e", "i", "o", "u", "."]
      And its "thinking" is {"type": "adaptive"}
      And its "context_management" is {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
      When it is sent
      Then its applied edits are empty

    @id:old-thinking-is-cleared @cap:thinking
    Scenario: With keep set to one turn, the thinking of the turn before is cleared
      Given a server that plays the script
      And it uses the betas "context-management-2025-06-27"
      And a conversation of two answers with thinking
      And its "context_management" is {"edits": [{"type": "clear_thinking_20251015", "keep": {"type": "thinking_turns", "value": 1}}]}
      When it is sent
      Then its applied edits are one "clear_thinking_20251015" with 1 "cleared_thinking_turns"

  @MUST
  Rule: A stream reports the edits at its end
    "Context editing", context editing response: applied_edits come with the final message_delta.

    @id:edits-in-a-stream @cap:streaming
    Scenario: The last message_delta has the applied edits
      Given a conversation with three long results of the tool "read_file"
      And its "context_management" is {"edits": [{"type": "clear_tool_uses_20250919", "trigger": {"type": "tool_uses", "value": 2}, "keep": {"type": "tool_uses", "value": 1}}]}
      When it is sent
      And it is streamed
      Then the last message_delta has the reply's applied edits

  @cap:token-counting @W2 @MUST
  Rule: A token count is that of the edited prompt
    "Context editing", token counting: input_tokens after the edits, and original_input_tokens before them.

    @id:edits-are-counted
    Scenario: A count reports the tokens before and after the edits
      Given a conversation with three long results of the tool "read_file"
      And its "context_management" is {"edits": [{"type": "clear_tool_uses_20250919", "trigger": {"type": "tool_uses", "value": 2}, "keep": {"type": "tool_uses", "value": 1}}]}
      When its tokens are counted
      And it is sent without "context_management", and then with it
      Then the count equals the reply's usage after the edits, and the other's before them
