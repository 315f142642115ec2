@cap:openai @W6
Feature: POST /v1/chat/completions
  OpenAI's API, for the clients that speak nothing else. OpenAI's documentation is the one that rules here.

  Background:
    Given the server under test, spoken to as by OpenAI's clients
    And a chat request

  @MUST
  Rule: The answer is a chat completion
    OpenAI's API reference, "The chat completion object".

    @id:openai-chat-shape
    Scenario: It has every field that a chat completion has
      When the chat is sent
      Then the answer is a chat completion

    @id:openai-chat-usage
    Scenario: Its usage adds up, within max_tokens
      When the chat is sent
      Then its usage adds up, with 1 to 8 completion tokens

    @id:openai-chat-repeats-itself
    Scenario: At temperature 0 the same chat has the same answer
      When the chat is sent twice
      Then both chats say the same

    @id:openai-max-tokens-cuts
    Scenario Outline: <field> bounds the answer, and the reason says so
      API reference, max_completion_tokens, and max_tokens, its older name; finish_reason length.
      Given the chat lacks "max_tokens"
      And the chat's "<field>" is 3
      When the chat is sent
      Then the chat finished for "length"
      And its usage adds up, with 3 to 3 completion tokens

      Examples:
        | field                 |
        | max_tokens            |
        | max_completion_tokens |

    @id:openai-stop-ends-the-answer
    Scenario Outline: A stop sequence as <form> ends the answer, and is not part of it
      API reference, stop: up to four sequences, in a list or as one string; the text will not contain them.
      Given the chat's "max_tokens" is 12
      When the chat is sent
      And the chat is sent with a stop sequence out of the middle of the answer, as <form>
      Then the chat ended before it

      Examples:
        | form     |
        | a string |
        | a list   |

    @id:openai-messages-of-every-role
    Scenario Outline: <what> are answered
      Given the chat's "messages" is <messages>
      When the chat is sent
      Then the answer is a chat completion

      Examples:
        | what                | messages                                                                                                                               |
        | system and user     | [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello."}]                                                    |
        | developer and user  | [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello."}]                                                 |
        | three turns         | [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "Bye."}]                  |
        | a name              | [{"role": "user", "name": "ann", "content": "Hello."}]                                                                                 |

    @id:openai-content-as-parts
    Scenario: A string and one part of the same text are the same content
      Given the chat's "messages" is [{"role": "user", "content": "Say hello."}]
      And another chat whose "messages" is [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}]
      When both chats are sent
      Then both chats say the same

    @id:openai-unknown-fields-are-ignored
    Scenario: What a client sends besides changes nothing
      Its clients send user, store, seed, logit_bias and whatever comes next.
      Given another chat whose "a_field_of_tomorrow" is {"depth": [1]}
      When both chats are sent
      Then both chats say the same

  @MUST
  Rule: A stream is chunks of one completion, and then [DONE]
    API reference, "The chat completion chunk object", and stream: data-only server-sent events, terminated by data: [DONE].

    @id:openai-stream-shape
    Scenario: Every chunk has its form
      When the chat is streamed
      Then the stream is of chunks of one completion

    @id:openai-stream-ends-with-done
    Scenario: The stream ends with [DONE]
      When the chat is streamed
      Then the stream's last event is [DONE]

    @id:openai-stream-equals-reply
    Scenario: At temperature 0 it says what the completion says
      When the chat is sent
      And the chat is streamed
      Then the chunks add up to the completion

    @id:openai-stream-usage
    Scenario: With include_usage, the last chunk counts
      API reference, stream_options: one chunk before [DONE], of no choices, with the usage of the whole request.
      Given the chat's "stream_options" is {"include_usage": true}
      When the chat is sent without stream_options
      And the chat is streamed
      Then the last chunk has the completion's usage and no choice

    @id:openai-stream-without-usage
    Scenario: Without it, there is no such chunk
      When the chat is streamed
      Then every chunk has a choice

    @id:openai-stream-is-refused-as-json
    Scenario: An invalid chat to stream is a plain refusal
      Given the chat's "max_tokens" is "many"
      When the chat is streamed
      Then it is refused as OpenAI does, with status 400

  @MUST
  Rule: Functions are called
    API reference, tools and tool_choice: required calls one or more of them, a named one that one; none calls none. "Function
    calling": arguments is a JSON text.

    @id:openai-function-is-called
    Scenario Outline: With tool_choice <choice>, the function is called with arguments of its schema
      Given the chat offers the function "look_it_up" with the schema "nested"
      And the chat's "tool_choice" is <choice>
      And the chat's "parallel_tool_calls" is false
      When the chat is sent
      Then every call keeps to its function's schema

      Examples:
        | choice                                                   |
        | "required"                                               |
        | {"type": "function", "function": {"name": "look_it_up"}} |

    @id:openai-finish-reason-of-calls
    Scenario: The reason for a call is tool_calls
      Given the chat offers the function "look_it_up" with the schema "enumeration"
      And the chat's "tool_choice" is "required"
      When the chat is sent
      Then the chat finished for "tool_calls"

    @id:openai-function-is-streamed
    Scenario: Streamed, its arguments join to those of the completion
      Given the chat offers the function "look_it_up" with the schema "nested"
      And the chat's "tool_choice" is "required"
      When the chat is sent
      And the chat is streamed
      Then the stream is of chunks of one completion
      And the chunks add up to the completion

    @id:openai-no-function-is-called
    Scenario: With tool_choice none, nothing is called
      Given the chat offers the function "look_it_up" with the schema "nested"
      And the chat's "tool_choice" is "none"
      And the chat's "max_tokens" is 8
      When the chat is sent
      Then nothing is called

    @id:openai-result-comes-back
    Scenario: A function's result comes back as a message of the role tool
      Given the chat offers the function "get_weather" with the schema "bounded"
      And the chat's "max_tokens" is 2
      And the chat's "messages" is [{"role": "user", "content": "How warm is it in Oslo?"}, {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\": \"Oslo\", \"days\": 1}"}}]}, {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"}]
      When the chat is sent
      Then the answer is a chat completion

  @MUST
  Rule: response_format is kept
    API reference, response_format: json_schema makes the content match the schema, json_object makes it valid JSON.

    @id:openai-json-schema
    Scenario: The content keeps to the schema
      Given the chat's "max_tokens" is 80
      And the chat has to keep to the schema "nested"
      When the chat is sent
      Then its content is JSON of that schema

    @id:openai-json-object
    Scenario: The content is a JSON object
      An answer that max_tokens cuts off is no whole object: then the reason says so.
      Given the chat's "max_tokens" is 60
      And the chat's "messages" is [{"role": "user", "content": "Give me an empty JSON object."}]
      And the chat's "response_format" is {"type": "json_object"}
      When the chat is sent
      Then its content is a JSON object, or was cut off in one
