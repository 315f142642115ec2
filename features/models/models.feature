Feature: Models

  Background:
    Given the server under test

  @cap:models @W3 @MUST
  Rule: GET /v1/models lists the models, in pages
    "List Models" reference: data, first_id, last_id, has_more; a model has id, type, display_name, created_at.

    @id:models-list-shape
    Scenario: GET /v1/models returns a page of models
      When the client calls "GET /v1/models"
      Then the reply is a page of models

    @id:models-list-holds-the-model
    Scenario: The model under test is listed
      When the client calls "GET /v1/models?limit=1000"
      Then the model under test is on the page

    @id:models-limit-bounds-a-page
    Scenario: limit sets the size of a page of models
      When the client calls "GET /v1/models?limit=1"
      Then the reply is a page of models
      And it contains 1 model

    @id:models-limit-is-checked
    Scenario Outline: A page limit of <limit> is refused
      "List Models" reference: limit ranges from 1 to 1000.
      When the client calls "GET /v1/models?limit=<limit>"
      Then it is refused as "invalid_request_error" with status 400
      And the error names "limit"

      Examples:
        | limit |
        | 0     |
        | -1    |
        | 1001  |
        | some  |

    @id:models-after-the-last
    Scenario: The page after the last model is empty
      When the client requests the page after the last model
      Then the page is empty and there are no more

    @id:models-before-the-first
    Scenario: The page before the first model is empty
      When the client requests the page before the first model
      Then the page is empty and there are no more

    @id:models-pages-add-up
    Scenario: Following last_id page by page yields the whole list of models
      When the client pages through the list one model at a time
      Then the pages add up to the whole list

  @cap:models @W3 @MUST
  Rule: GET /v1/models/{id} returns one model
    "Get a Model" reference: the model by its id or alias, in the same form as in the list.

    @id:model-by-its-id
    Scenario: A model retrieved by its id matches its entry in the list
      When the client requests the model under test
      Then the reply matches the model in the list

    @id:model-by-an-unknown-id
    Scenario: Retrieving an unknown model is a 404 that names it
      When the client calls "GET /v1/models/no-such-model-as-this"
      Then it is refused as "not_found_error" with status 404
      And the error names "no-such-model-as-this"

  @cap:models @cap:messages @W3 @W1 @MUST
  Rule: Every listed model answers under its own name
    "List Models" reference: the API's available models. A client shows its user this list and requests the chosen model.

    @id:models-listed-are-answered
    Scenario: Each listed model answers a request under its listed name
      Given a request
      When it is sent to each of the first five listed models
      Then each answers under its own name

    @id:models-listed-are-counted @cap:token-counting
    Scenario: Each listed model counts tokens
      Given a request
      When its tokens are counted by each of the first five listed models
      Then each returns a token count

  @cap:claude-names @W20 @SHOULD
  Rule: Every claude name reaches a model
    Claude Code and most clients of the SDKs request claude-… by default, and some cannot be set to another name.

    @id:claude-names-are-answered
    Scenario Outline: A request to <name> is answered under that name
      Given a request
      And its "model" is "<name>"
      When it is sent
      Then the reply is a message
      And its "model" matches the request

      Examples:
        | name                       |
        | claude-opus-5              |
        | claude-sonnet-4-5-20250929 |
        | claude-of-another-day      |

    @id:claude-names-are-retrieved @cap:models
    Scenario: A claude name can be retrieved as a model
      When the client calls "GET /v1/models/claude-sonnet-4-5"
      Then the reply is a model
