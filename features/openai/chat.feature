@cap:openai @W6
Feature: POST /v1/chat/completions
  OpenAI's API, for clients that speak no other. OpenAI's documentation is the authority here.

  Background:
    Given the server under test, called by an OpenAI client
    And a chat request

  @MUST
  Rule: The answer is a chat completion
    OpenAI's API reference, "The chat completion object".

    @id:openai-chat-shape
    Scenario: A chat completion has every field of its format
      When the chat is sent
      Then the answer is a chat completion

    @id:openai-chat-usage
    Scenario: A chat completion's usage adds up and stays within max_tokens
      When the chat is sent
      Then its usage adds up, with 1 to 8 completion tokens

    @id:openai-chat-repeats-itself
    Scenario: At temperature 0 the same chat gets the same answer twice
      When the chat is sent twice
      Then both chats have the same answer

    @id:openai-max-tokens-cuts
    Scenario Outline: <field> limits a chat's answer, with finish_reason length
      API reference, max_completion_tokens, and max_tokens, its older name; finish_reason length.
      Given the chat has no "max_tokens"
      And the chat's "<field>" is 3
      When the chat is sent
      Then the chat's finish reason is "length"
      And its usage adds up, with 3 to 3 completion tokens

      Examples:
        | field                 |
        | max_tokens            |
        | max_completion_tokens |

    @id:openai-stop-ends-the-answer
    Scenario Outline: A stop sequence given as <form> ends a chat's answer and is not part of it
      API reference, stop: up to four sequences, in a list or as one string; the text will not contain them.
      Given the chat's "max_tokens" is 12
      When the chat is sent
      And the chat is sent with a stop sequence from the middle of the answer, as <form>
      Then the chat ended before the stop sequence

      Examples:
        | form     |
        | a string |
        | a list   |

    @id:openai-messages-of-every-role
    Scenario Outline: A chat with <what> is answered
      Given the chat's "messages" is <messages>
      When the chat is sent
      Then the answer is a chat completion

      Examples:
        | what                | messages                                                                                                                               |
        | a system message    | [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello."}]                                                    |
        | a developer message | [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello."}]                                                 |
        | three turns         | [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "Bye."}]                  |
        | a named user        | [{"role": "user", "name": "ann", "content": "Hello."}]                                                                                 |

    @id:openai-content-as-parts
    Scenario: A string and one part with the same text get the same answer
      Given the chat's "messages" is [{"role": "user", "content": "Say hello."}]
      And another chat whose "messages" is [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}]
      When both chats are sent
      Then both chats have the same answer

    @id:openai-unknown-fields-are-ignored
    Scenario: An unknown field does not change a chat's answer
      OpenAI's clients send user, store, seed, logit_bias and newer fields.
      Given another chat whose "a_field_of_tomorrow" is {"depth": [1]}
      When both chats are sent
      Then both chats have the same answer

  @MUST
  Rule: A stream consists of chunks of one completion, then [DONE]
    API reference, "The chat completion chunk object", and stream: data-only server-sent events, terminated by data: [DONE].

    @id:openai-stream-shape
    Scenario: Every chunk of a streamed chat has the documented format
      When the chat is streamed
      Then the stream consists of chunks of one completion

    @id:openai-stream-ends-with-done
    Scenario: A streamed chat ends with [DONE]
      When the chat is streamed
      Then the stream's last event is [DONE]

    @id:openai-stream-equals-reply
    Scenario: At temperature 0 a streamed chat matches the completion
      When the chat is sent
      And the chat is streamed
      Then the chunks add up to the completion

    @id:openai-stream-usage
    Scenario: With include_usage, the last chunk carries the usage
      API reference, stream_options: one chunk before [DONE] has no choices and the usage of the whole request.
      Given the chat's "stream_options" is {"include_usage": true}
      When the chat is sent without stream_options
      And the chat is streamed
      Then the last chunk has the completion's usage and no choices

    @id:openai-stream-without-usage
    Scenario: Without include_usage, every chunk has a choice
      When the chat is streamed
      Then every chunk has a choice

    @id:openai-stream-is-refused-as-json
    Scenario: An invalid streaming chat is refused with a JSON body
      Given the chat's "max_tokens" is "many"
      When the chat is streamed
      Then it is refused in OpenAI's format with status 400

  @MUST
  Rule: The model calls functions
    API reference, tools and tool_choice: with required the model calls one or more functions, with a named function that one,
    with none it calls none. "Function calling": arguments is JSON text.

    @id:openai-function-is-called
    Scenario Outline: With tool_choice <choice>, the function is called with arguments that match its schema
      Given the chat offers the function "look_it_up" with the schema "nested"
      And the chat's "tool_choice" is <choice>
      And the chat's "parallel_tool_calls" is false
      When the chat is sent
      Then every call matches its function's schema

      Examples:
        | choice                                                   |
        | "required"                                               |
        | {"type": "function", "function": {"name": "look_it_up"}} |

    @id:openai-finish-reason-of-calls
    Scenario: A chat that calls a function finishes with tool_calls
      Without parallel calls: a small model could otherwise repeat the call until max_tokens.
      Given the chat offers the function "look_it_up" with the schema "enumeration"
      And the chat's "tool_choice" is "required"
      And the chat's "parallel_tool_calls" is false
      When the chat is sent
      Then the chat's finish reason is "tool_calls"

    @id:openai-function-is-streamed
    Scenario: A streamed function call has the completion's arguments
      Given the chat offers the function "look_it_up" with the schema "nested"
      And the chat's "tool_choice" is "required"
      When the chat is sent
      And the chat is streamed
      Then the stream consists of chunks of one completion
      And the chunks add up to the completion

    @id:openai-no-function-is-called
    Scenario: With tool_choice none, no function is called
      Given the chat offers the function "look_it_up" with the schema "nested"
      And the chat's "tool_choice" is "none"
      And the chat's "max_tokens" is 8
      When the chat is sent
      Then no function is called

    @id:openai-result-comes-back
    Scenario: A function's result is accepted as a message with the role tool
      Given the chat offers the function "get_weather" with the schema "bounded"
      And the chat's "max_tokens" is 2
      And the chat's "messages" is [{"role": "user", "content": "How warm is it in Oslo?"}, {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\": \"Oslo\", \"days\": 1}"}}]}, {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"}]
      When the chat is sent
      Then the answer is a chat completion

  @SHOULD
  Rule: Forms that clients send instead of the documented ones are understood
    "Function calling" documents arguments as JSON text and parameters as a schema of an object. Clients that keep calls as
    objects send them back as such, with null for no arguments, and generators of schemas omit the type.

    @id:openai-arguments-of-history
    Scenario Outline: A call in the history with <form> as its arguments is accepted
      Given the chat's "max_tokens" is 2
      And the chat's "messages" is [{"role": "user", "content": "What time is it?"}, {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "now", "arguments": <arguments>}}]}, {"role": "tool", "tool_call_id": "call_1", "content": "noon"}]
      When the chat is sent
      Then the answer is a chat completion

      Examples:
        | form           | arguments       |
        | an object      | {"zone": "UTC"} |
        | null           | null            |
        | an empty text  | ""              |

    @id:openai-parameters-without-a-type
    Scenario Outline: A function <whose> is accepted
      Given the chat's "max_tokens" is 2
      And the chat's "tool_choice" is "none"
      And the chat's "tools" is [{"type": "function", "function": <function>}]
      When the chat is sent
      Then the answer is a chat completion

      Examples:
        | whose                      | function                                                                      |
        | whose schema has no type   | {"name": "now", "parameters": {"properties": {"zone": {"type": "string"}}}}    |
        | whose parameters are null  | {"name": "now", "parameters": null}                                           |
        | without parameters         | {"name": "now"}                                                               |

  @SHOULD
  Rule: A conversation goes on after something that the model cannot read
    A client sends the whole conversation with every turn. If an image in an earlier turn is refused, no later turn can succeed.

    @id:openai-older-image
    Scenario: An image in an earlier turn does not end the conversation
      Given the chat's "messages" is [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="}}]}, {"role": "assistant", "content": "I cannot see it."}, {"role": "user", "content": "Then say hello."}]
      When the chat is sent
      Then the answer is a chat completion

  @MUST
  Rule: The answer follows response_format
    API reference, response_format: json_schema makes the content match the schema, json_object makes it valid JSON.

    @id:openai-json-schema
    Scenario: A chat's content matches the schema of response_format
      Given the chat's "max_tokens" is 80
      And the chat's answer must match the schema "nested"
      When the chat is sent
      Then its content is JSON that matches the schema

    @id:openai-json-object
    Scenario: With json_object, a chat's content is a JSON object
      An answer cut off by max_tokens is an incomplete object, and its finish_reason says so.
      Given the chat's "max_tokens" is 60
      And the chat's "messages" is [{"role": "user", "content": "Give me an empty JSON object."}]
      And the chat's "response_format" is {"type": "json_object"}
      When the chat is sent
      Then its content is a JSON object, or is cut off inside one
