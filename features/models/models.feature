Feature: Models

  Background:
    Given the server under test

  @cap:models @W3 @MUST
  Rule: GET /v1/models lists the models, in pages
    "List Models" reference: data, first_id, last_id, has_more; a model has id, type, display_name, created_at.

    @id:models-list-shape
    Scenario: The list is a page of models
      When the client calls "GET /v1/models"
      Then the reply is a page of models

    @id:models-list-holds-the-model
    Scenario: The model under test is listed
      When the client calls "GET /v1/models?limit=1000"
      Then the model under test is on the page

    @id:models-limit-bounds-a-page
    Scenario: limit bounds a page
      When the client calls "GET /v1/models?limit=1"
      Then the reply is a page of models
      And it holds 1 model

    @id:models-limit-is-checked
    Scenario Outline: A limit of <limit> is refused
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
    Scenario: After the last model comes an empty page
      When the client asks for the models after the last
      Then the page is empty and there is no more

    @id:models-before-the-first
    Scenario: Before the first model comes an empty page
      When the client asks for the models before the first
      Then the page is empty and there is no more

    @id:models-pages-add-up
    Scenario: Pages of one, followed by last_id, are the whole list
      When the client follows the pages of one model each
      Then the pages add up to the whole list

  @cap:models @W3 @MUST
  Rule: GET /v1/models/{id} gives one model
    "Get a Model" reference: the model by its id or alias, in the form that the list has.

    @id:model-by-its-id
    Scenario: The model under test is given as it is listed
      When the client asks for the model under test
      Then the reply is the model as it is listed

    @id:model-by-an-unknown-id
    Scenario: An unknown model is not found, by its name
      When the client calls "GET /v1/models/no-such-model-as-this"
      Then it is refused as "not_found_error" with status 404
      And the error names "no-such-model-as-this"

  @cap:models @cap:messages @W3 @W1 @MUST
  Rule: What is listed answers by its name
    "List Models" reference: the API's available models. A client offers its user this list, and asks for what was chosen.

    @id:models-listed-are-answered
    Scenario: Each model that is listed answers a request, under the name that it is listed by
      Given a request
      When it is sent to each of the first five models that are listed
      Then each has answered under its own name

    @id:models-listed-are-counted @cap:token-counting
    Scenario: Each model that is listed counts tokens
      Given a request
      When its tokens are counted by each of the first five models that are listed
      Then each has told a number of tokens

  @cap:claude-names @W20 @SHOULD
  Rule: Every claude name reaches a model
    Claude Code and most clients of the SDKs ask for claude-… by default, some of them with no way to say another name.

    @id:claude-names-are-answered
    Scenario Outline: <name> is answered, under that name
      Given a request
      And its "model" is "<name>"
      When it is sent
      Then the reply is a message
      And its "model" is the request's

      Examples:
        | name                       |
        | claude-opus-5              |
        | claude-sonnet-4-5-20250929 |
        | claude-of-another-day      |

    @id:claude-names-are-retrieved @cap:models
    Scenario: A claude name can be asked about
      When the client calls "GET /v1/models/claude-sonnet-4-5"
      Then the reply is a model
