@cap:token-counting @W2
Feature: POST /v1/messages/count_tokens

  Background:
    Given the server under test
    And a request

  @MUST
  Rule: A count is one figure, and needs no max_tokens
    "Count tokens in a Message" reference: the body is that of a message without max_tokens; the answer holds
    input_tokens.

    @id:count-shape
    Scenario: The answer holds input_tokens
      When its tokens are counted
      Then the count is a positive number

    @id:count-with-beta-query
    Scenario: The beta form of the path counts as well
      When its tokens are counted at "/v1/messages/count_tokens?beta=true"
      Then the count is a positive number

  @W17 @MUST
  Rule: The count is the usage of the same request
    "Token counting": the count is that of the same inputs when the message is created. Anthropic calls its own an estimate;
    a server that renders the prompt itself has no reason to be off by one.

    @id:count-equals-usage
    Scenario Outline: So it is for <what>
      Given its "<field>" is <value>
      When its tokens are counted
      And it is sent
      Then the count is the reply's usage

      Examples:
        | what                  | field    | value                                                                                                                |
        | a string              | messages | [{"role": "user", "content": "How many am I?"}]                                                                      |
        | blocks                | messages | [{"role": "user", "content": [{"type": "text", "text": "How many"}, {"type": "text", "text": "are we?"}]}]           |
        | a conversation        | messages | [{"role": "user", "content": "One."}, {"role": "assistant", "content": "Two."}, {"role": "user", "content": "Three."}] |
        | a system prompt       | system   | "You count everything."                                                                                              |
        | a system of blocks    | system   | [{"type": "text", "text": "You count"}, {"type": "text", "text": "everything."}]                                     |
        | many scripts          | messages | [{"role": "user", "content": "Grüße, 你好, नमस्ते, 🙂 e\u0301"}]                                                       |

  @MUST
  Rule: The count grows with the prompt
    "Token counting": system, messages and the rest are all counted.

    @id:count-grows
    Scenario: More text, more tokens
      Given another request whose "messages" is [{"role": "user", "content": "Say hello to the world, and to the moon and all the stars as well, one by one."}]
      When the tokens of both are counted
      Then the other's count is larger

    @id:count-includes-system
    Scenario: The system prompt counts
      Two system prompts are compared, since a model may have one of its own that the client's takes the place of.
      Given its "system" is "Be brief."
      And another request whose "system" is "You are a careful counter of all the things that there are, and you never leave one of them out."
      When the tokens of both are counted
      Then the other's count is larger

  @W18 @MUST
  Rule: A count is refused as a message is
    "Errors": one form, one set of types, for every endpoint.

    @id:count-refuses-what-is-wrong
    Scenario Outline: A count is refused when its "<field>" is <value>
      Given its "<field>" is <value>
      When its tokens are counted
      Then it is refused as "<error>" with status <status>
      And the error names "<name>"

      Examples:
        | field           | value                   | error                 | status | name                  |
        | messages        | []                      | invalid_request_error | 400    | messages              |
        | messages.0.role | "wizard"                | invalid_request_error | 400    | role                  |
        | system          | 42                      | invalid_request_error | 400    | system                |
        | model           | "no-such-model-as-this" | not_found_error       | 404    | no-such-model-as-this |

    @id:count-refuses-what-is-missing
    Scenario Outline: A count is refused without <field>
      Given it lacks "<field>"
      When its tokens are counted
      Then it is refused as "invalid_request_error" with status 400
      And the error names "<field>"

      Examples:
        | field    |
        | model    |
        | messages |

    @id:count-refuses-no-json
    Scenario: A body that is no JSON is refused
      When the bytes {"messages": are sent to "/v1/messages/count_tokens"
      Then it is refused as "invalid_request_error" with status 400
