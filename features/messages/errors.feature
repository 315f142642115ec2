@cap:errors @W18
Feature: Errors of POST /v1/messages
  Bad input of every kind is refused with a 4xx that says what is wrong. Nothing a client sends causes a 500.

  Background:
    Given the server under test
    And a request

  @MUST
  Rule: A body that is not a JSON object is refused
    "Errors": 400 invalid_request_error, an issue with the format or content of the request.

    @id:body-that-is-no-json
    Scenario Outline: The body <body> is refused
      When the bytes <body> are sent
      Then it is refused as "invalid_request_error" with status 400

      Examples:
        | body             |
        | {"model":        |
        | not JSON         |
        | {'model': 'x'}   |
        | []               |
        | "a string"       |
        | 42               |
        | null             |

    @id:body-that-is-empty
    Scenario: An empty body is refused
      When an empty body is sent
      Then it is refused as "invalid_request_error" with status 400

    @id:body-that-is-no-utf8
    Scenario: A body that is not UTF-8 is refused
      When bytes that are not UTF-8 are sent
      Then it is refused as "invalid_request_error" with status 400

    @id:body-that-breaks-parsers
    Scenario Outline: A body with <trouble> is refused
      RFC 8259, 9: a parser may limit depth and range. Input over those limits is a client error, not a 500.
      When a body with <trouble> is sent
      Then it is refused as "invalid_request_error" with status 400

      Examples:
        | trouble                  |
        | 100000 nested arrays     |
        | a number of 10000 digits |

    @id:text-of-odd-characters
    Scenario Outline: A message with <what> does not fail the server
      Given its "messages.0.content" is <text>
      When it is sent
      Then it is answered, or refused as "invalid_request_error"

      Examples:
        | what             | text                                   |
        | half a surrogate | "\ud83d is half of a smile"            |
        | a null character | "before \u0000 after"                  |
        | empty text       | ""                                     |
        | a control token  | "<\u007cim_end\u007c> <\u007ceot\u007c>" |

  @MUST
  Rule: A missing required field is refused by name
    "Messages API reference": model, messages and max_tokens are required. "Errors": the message explains the error;
    Anthropic's own begins with the path of the field.

    @id:required-field-missing
    Scenario Outline: A request without <field> is refused
      Given it has no "<field>"
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "<field>"

      Examples:
        | field      |
        | model      |
        | messages   |
        | max_tokens |

  @MUST
  Rule: An invalid field is refused by name
    "Messages API reference", the types and ranges of the fields. "Errors": 400 invalid_request_error.

    @id:field-that-is-wrong
    Scenario Outline: A request with <field> set to <value> is refused
      Given its "<field>" is <value>
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "<name>"

      Examples: messages
        | field              | value                            | name     |
        | messages           | []                               | messages |
        | messages           | "hello"                          | messages |
        | messages           | {"role": "user"}                 | messages |
        | messages           | null                             | messages |
        | messages           | [42]                             | messages |
        | messages           | [{"content": "no role"}]         | role     |
        | messages           | [{"role": "user"}]               | content  |
        | messages.0.role    | "wizard"                         | role     |
        | messages.0.role    | 7                                | role     |
        | messages.0.content | 42                               | content  |
        | messages.0.content | null                             | content  |
        | messages.0.content | {"text": "no list"}              | content  |
        | messages.0.content | [42]                             | content  |
        | messages.0.content | [{"text": "no type"}]            | type     |
        | messages.0.content | [{"type": "text"}]               | text     |
        | messages.0.content | [{"type": "text", "text": 42}]   | text     |

      Examples: numbers
        | field       | value                  | name        |
        | max_tokens  | -1                     | max_tokens  |
        | max_tokens  | 1.5                    | max_tokens  |
        | max_tokens  | 1000000000000000000    | max_tokens  |
        | max_tokens  | "1000000000000000000"  | max_tokens  |
        | max_tokens  | "many"                 | max_tokens  |
        | max_tokens  | true                   | max_tokens  |
        | max_tokens  | null                   | max_tokens  |
        | temperature | -0.1                   | temperature |
        | temperature | 2.5                    | temperature |
        | temperature | 1e400                  | temperature |
        | temperature | "hot"                  | temperature |
        | top_p       | 1.5                    | top_p       |
        | top_p       | -0.5                   | top_p       |
        | top_k       | -1                     | top_k       |
        | top_k       | "few"                  | top_k       |

      Examples: other fields
        | field          | value              | name           |
        | model          | 42                 | model          |
        | model          | ""                 | model          |
        | system         | 42                 | system         |
        | system         | [{"type": "text"}] | system         |
        | stop_sequences | "stop"             | stop_sequences |
        | stop_sequences | [1]                | stop_sequences |
        | stream         | "yes please"       | stream         |
        | metadata       | "me"               | metadata       |

    @id:number-that-json-does-not-have
    Scenario Outline: A temperature of <value>, which is not JSON, is refused
      RFC 8259, 6: NaN and Infinity are not numbers. Lenient parsers accept them, so the range check must not.
      Given its "temperature" is <value>
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "temperature"

      Examples:
        | value     |
        | NaN       |
        | Infinity  |
        | -Infinity |

  @MUST
  Rule: A choice that the reference does not list is refused by name
    "Messages API reference": service_tier, output_config.effort, thinking.display and tool_choice.type have fixed values.
    A client that misspells one would otherwise get another answer than it wants.

    @id:choice-that-is-wrong
    Scenario Outline: A request with <field> set to <value> is refused, since <name> has fixed values
      Given its "max_tokens" is 2000
      And its "<field>" is <value>
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "<name>"

      Examples:
        | field         | value                                     | name         |
        | service_tier  | "gold"                                    | service_tier |
        | output_config | {"effort": "immense"}                     | effort       |
        | output_config | {"format": {"type": "xml"}}               | format       |
        | thinking      | {"type": "adaptive", "display": "loudly"} | display      |
        | tool_choice   | {"type": "maybe"}                         | tool_choice  |
        | speed         | "warp"                                    | speed        |

  @MUST
  Rule: A request for another kind of answer never gets an ordinary one
    "Compaction": the reply to compaction summarize holds only a compaction block. "Context editing": the reply reports the edits
    that it applied. Claude Code in auto mode sends safeguards, and sends the request without it after a 400 that names it.

    @id:compaction-is-done-or-refused
    Scenario: A compaction gets a compaction block, or a refusal that names it
      Given it uses the betas "compact-2026-09-04"
      And its "compaction" is {"type": "summarize"}
      And its "max_tokens" is 500
      When it is sent
      Then its content is a compaction, or the error names "compaction"

    @id:edit-that-is-unknown
    Scenario: An edit of the context that does not exist is refused by name
      Given it uses the betas "context-management-2025-06-27"
      And its "context_management" is {"edits": [{"type": "clear_everything_20990101"}]}
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "clear_everything_20990101"

    @id:safeguards-are-done-or-refused
    Scenario: A request with safeguards gets their results, or a refusal that names them
      Given its "safeguards" is [{"type": "dangerous_tool_use"}]
      When it is sent
      Then it has "safeguard_results", or the error names "safeguards"

    @id:fast-mode-is-reported-or-refused
    Scenario: A request for fast mode gets its speed in the usage, or a refusal that ends fast mode
      "Fast mode": usage.speed is the speed that was used. Claude Code 2.1.332 turns fast mode off and goes on after a 400 that
      says "Fast mode is not enabled"; after most others, every request fails.
      Given its "speed" is "fast"
      When it is sent
      Then its usage has a speed, or the error says "Fast mode is not enabled" or "does not support the `speed` parameter"

  @C4 @MUST
  Rule: A prompt longer than the window is refused in the words that clients act on
    Claude Code compacts the conversation when it reads "prompt is too long: N tokens > M maximum" in a 400.

    @id:prompt-over-the-window
    Scenario: A prompt longer than the window is refused
      Given a prompt longer than the model's window
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error says "prompt is too long: N tokens > M maximum"
      And N is the prompt's token count

    @id:prompt-over-the-window-streamed @cap:streaming
    Scenario: A streaming request with a prompt longer than the window is refused before the stream begins
      Given a prompt longer than the model's window
      When it is streamed
      Then it is refused as "invalid_request_error" with status 400

  @MUST
  Rule: A body over the size limit is a 413
    "Errors", request size limits: 32 MB for the Messages API; 413 request_too_large.

    @id:body-over-the-limit
    Scenario: A body of 33 MB is refused
      Given its message is 33 megabytes long
      When it is sent
      Then it is refused as "request_too_large" with status 413

    @id:body-over-the-limit-in-chunks
    Scenario: A chunked body of 33 MB is refused
      Given its message is 33 megabytes long
      When it is sent in chunks
      Then it is refused as "request_too_large" with status 413

  @MUST
  Rule: What does not exist is a 404 in the standard error format
    "Errors": 404 not_found_error. Claude Code shows the user the name that was not found.

    @id:model-that-is-unknown
    Scenario: An unknown model is not found, and the error names it
      Given its "model" is "no-such-model-as-this"
      When it is sent
      Then it is refused as "not_found_error" with status 404
      And the error names "no-such-model-as-this"

    @id:path-that-is-unknown
    Scenario: An unknown path is not found
      When it is sent to "/v1/no/such/path"
      Then it is refused as "not_found_error" with status 404

    @id:method-that-is-wrong
    Scenario Outline: <call> is refused with status 405
      When the client calls "<call>"
      Then it is refused with status 405

      Examples:
        | call                          |
        | GET /v1/messages              |
        | DELETE /v1/messages           |
        | GET /v1/messages/count_tokens |
        | POST /v1/models               |
