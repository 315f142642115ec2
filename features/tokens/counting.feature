@cap:token-counting @W2
Feature: POST /v1/messages/count_tokens

  Background:
    Given the server under test
    And a request

  @MUST
  Rule: A count is one number and needs no max_tokens
    "Count tokens in a Message" reference: the body is that of a message without max_tokens; the answer holds
    input_tokens.

    @id:count-shape
    Scenario: A token count has a positive number of input_tokens
      When its tokens are counted
      Then the count is a positive number

    @id:count-with-beta-query
    Scenario: The beta form of the count's path counts as well
      When its tokens are counted at "/v1/messages/count_tokens?beta=true"
      Then the count is a positive number

  @W17 @MUST
  Rule: The count equals the usage of the same request
    "Token counting": the count is that of the same input when the message is created. Anthropic calls its own an estimate;
    a server that renders the prompt itself has no excuse for being off by one.

    @id:count-equals-usage
    Scenario Outline: The token count of <what> equals its usage
      Given its "<field>" is <value>
      When its tokens are counted
      And it is sent
      Then the count equals the reply's usage

      Examples:
        | what                  | field    | value                                                                                                                |
        | a string              | messages | [{"role": "user", "content": "How many am I?"}]                                                                      |
        | blocks                | messages | [{"role": "user", "content": [{"type": "text", "text": "How many"}, {"type": "text", "text": "are we?"}]}]           |
        | a conversation        | messages | [{"role": "user", "content": "One."}, {"role": "assistant", "content": "Two."}, {"role": "user", "content": "Three."}] |
        | a system prompt       | system   | "You count everything."                                                                                              |
        | system prompt blocks  | system   | [{"type": "text", "text": "You count"}, {"type": "text", "text": "everything."}]                                     |
        | text in many scripts  | messages | [{"role": "user", "content": "Grüße, 你好, नमस्ते, 🙂 e\u0301"}]                                                       |

  @MUST
  Rule: The count grows with the prompt
    "Token counting": system, messages and the rest are all counted.

    @id:count-grows
    Scenario: A longer message has a larger token count
      Given another request whose "messages" is [{"role": "user", "content": "Say hello to the world, and to the moon and all the stars as well, one by one."}]
      When the tokens of both requests are counted
      Then the other request's count is larger

    @id:count-includes-system
    Scenario: The system prompt adds to the token count
      Two system prompts are compared, since a model may have a default one that the client's replaces.
      Given its "system" is "Be brief."
      And another request whose "system" is "You are a careful counter of all the things that there are, and you never leave one of them out."
      When the tokens of both requests are counted
      Then the other request's count is larger

  @W18 @MUST
  Rule: A token count is refused for the same reasons as a message
    "Errors": every endpoint has the same format and the same types.

    @id:count-refuses-what-is-wrong
    Scenario Outline: A token count whose <field> is <value> is refused
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
    Scenario Outline: A token count without <field> is refused
      Given it has no "<field>"
      When its tokens are counted
      Then it is refused as "invalid_request_error" with status 400
      And the error names "<field>"

      Examples:
        | field    |
        | model    |
        | messages |

    @id:count-refuses-no-json
    Scenario: A token count whose body is not JSON is refused
      When the bytes {"messages": are sent to "/v1/messages/count_tokens"
      Then it is refused as "invalid_request_error" with status 400
