@cap:openai @W6
Feature: Refusals in OpenAI's format
  pytest-bdd runs the chapters of a folder in the order of their titles, and this one has to come last: a server that breaks on
  an invalid request is judged on valid ones first.

  Background:
    Given the server under test, called by an OpenAI client
    And a chat request

  @MUST
  Rule: A request for something unsupported is refused, not answered without it
    API reference, n: that many choices; logprobs: the log probabilities of each token in the choice.

    @id:openai-several-answers
    Scenario: A chat for two answers gets two, or a refusal that names n
      Given the chat's "n" is 2
      When the chat is sent
      Then the answer has 2 choices, or the refusal names "n"

    @id:openai-logprobs
    Scenario: A chat for log probabilities gets them, or a refusal that names logprobs
      Given the chat's "logprobs" is true
      When the chat is sent
      Then the answer has log probabilities, or the refusal names "logprobs"

  @MUST
  Rule: Errors have OpenAI's format
    OpenAI's "Error codes", and its SDK: error is an object with message, type, param and code.

    @id:openai-chat-that-is-wrong
    Scenario Outline: A chat whose <field> is <value> is refused
      Given the chat's "<field>" is <value>
      When the chat is sent
      Then it is refused in OpenAI's format with status 400
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
        | presence_penalty   | 2.5               | presence_penalty |
        | frequency_penalty  | -3                | frequency_penalty |
        | tools              | [{"type": "wand"}] | tools          |
        | messages.0.content | [{"type": "poem", "poem": "Ode"}] | content |

    @id:openai-chat-that-lacks-a-field
    Scenario Outline: A chat without <field> is refused
      Given the chat has no "<field>"
      When the chat is sent
      Then it is refused in OpenAI's format with status 400
      And the refusal names "<field>"

      Examples:
        | field    |
        | messages |
        | model    |

    @id:openai-chat-of-an-unknown-model
    Scenario: A chat with an unknown model is refused with status 404
      Given the chat's "model" is "no-such-model-as-this"
      When the chat is sent
      Then it is refused in OpenAI's format with status 404
      And the refusal names "no-such-model-as-this"

    @id:openai-errors-on-every-path
    Scenario Outline: An empty request to <path> is refused in OpenAI's format
      A server without the endpoint answers 404; one that has it misses the required fields.
      When an empty object is sent to "<path>"
      Then it is refused in OpenAI's format

      Examples:
        | path                   |
        | /v1/chat/completions   |
        | /v1/completions        |
        | /v1/embeddings         |
        | /v1/responses          |
        | /v1/images/generations |
        | /v1/moderations        |

    @id:openai-chat-that-is-no-json
    Scenario: A chat whose body is not JSON is refused
      When the bytes {"messages": are sent to "/v1/chat/completions"
      Then it is refused in OpenAI's format with status 400
