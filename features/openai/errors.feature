@cap:openai @W6
Feature: What is wrong is refused as OpenAI does
  It comes last of its folder: a server that breaks on a wrong request is judged on the right ones first.

  Background:
    Given the server under test, spoken to as by OpenAI's clients
    And a chat request

  @MUST
  Rule: Errors have OpenAI's form
    OpenAI's "Error codes", and its SDK: error is an object of message, type, param and code.

    @id:openai-chat-that-is-wrong
    Scenario Outline: A chat whose <field> is <value> is refused
      Given the chat's "<field>" is <value>
      When the chat is sent
      Then it is refused as OpenAI does, with status 400
      And the refusal names "<name>"

      Examples:
        | field              | value             | name            |
        | messages           | []                | messages        |
        | messages           | "hello"           | messages        |
        | messages.0.role    | "wizard"          | role            |
        | messages.0.content | 42                | content         |
        | max_tokens         | "many"            | max_tokens      |
        | temperature        | 3                 | temperature     |
        | top_p              | 2                 | top_p           |
        | stop               | 7                 | stop            |
        | tools              | [{"type": "function"}] | tools      |
        | response_format    | {"type": "yaml"}  | response_format |

    @id:openai-chat-that-lacks-a-field
    Scenario Outline: A chat without <field> is refused
      Given the chat lacks "<field>"
      When the chat is sent
      Then it is refused as OpenAI does, with status 400
      And the refusal names "<field>"

      Examples:
        | field    |
        | messages |
        | model    |

    @id:openai-chat-of-an-unknown-model
    Scenario: An unknown model is not found
      Given the chat's "model" is "no-such-model-as-this"
      When the chat is sent
      Then it is refused as OpenAI does, with status 404
      And the refusal names "no-such-model-as-this"

    @id:openai-chat-that-is-no-json
    Scenario: A body that is no JSON is refused
      When the bytes {"messages": are sent to "/v1/chat/completions"
      Then it is refused as OpenAI does, with status 400
