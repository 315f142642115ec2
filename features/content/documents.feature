@W12
Feature: Documents in a message
  A document block stands among the text of a user's turn. What the model makes of it is its own affair; that its text is
  part of the prompt can be counted.

  Background:
    Given the server under test
    And a request
    And its "max_tokens" is 1

  @cap:documents @MUST
  Rule: The text of a document is part of the prompt
    "PDF support" and "Citations", document types: a source of type text holds plain text, one of type content a string
    or blocks. The SDKs' DocumentBlockParam.

    @id:document-is-answered
    Scenario Outline: A document of <kind> is answered
      Given its "messages.0.content" is [{"type": "document", "source": <source>}, {"type": "text", "text": "What is it?"}]
      When it is sent
      Then the reply is a message

      Examples:
        | kind             | source                                                                                    |
        | plain text       | {"type": "text", "media_type": "text/plain", "data": "It is a list of all that is blue."} |
        | a string         | {"type": "content", "content": "It is a list of all that is blue."}                       |
        | blocks of text   | {"type": "content", "content": [{"type": "text", "text": "It is a list."}]}               |

    @id:document-is-counted @cap:token-counting
    Scenario Outline: More text in a document of <kind> is more of a prompt
      Given its "messages.0.content" is [{"type": "document", "source": <source>}, {"type": "text", "text": "What is it?"}]
      And another request whose "messages.0.content.0.source.<field>" is <more>
      When the tokens of both are counted
      Then the other's count is larger by at least 10

      Examples:
        | kind           | field   | source                                                           | more                                                                                                  |
        | plain text     | data    | {"type": "text", "media_type": "text/plain", "data": "Blue."}    | "Blue, and red, and green, and every other colour that there is between the three of them."           |
        | a string       | content | {"type": "content", "content": "Blue."}                          | "Blue, and red, and green, and every other colour that there is between the three of them."           |
        | blocks of text | content | {"type": "content", "content": [{"type": "text", "text": "Blue."}]} | [{"type": "text", "text": "Blue, and red, and green, and every other colour between the three of them."}] |

    @id:document-title-and-context-are-counted @cap:token-counting
    Scenario Outline: A document's <field> reaches the model
      "Citations", document types: title and context are passed to the model.
      Given its "messages.0.content" is [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Blue."}}]
      And another request whose "messages.0.content.0.<field>" is "What the sea said to the sky about all of its colours"
      When the tokens of both are counted
      Then the other's count is larger

      Examples:
        | field   |
        | title   |
        | context |

    @id:document-count-equals-usage @cap:token-counting @W17
    Scenario: A document is counted as it is used
      Given its "messages.0.content" is [{"type": "document", "title": "Colours", "source": {"type": "text", "media_type": "text/plain", "data": "Blue."}}, {"type": "text", "text": "Well?"}]
      When its tokens are counted
      And it is sent
      Then the count is the reply's usage

  @cap:documents @MUST
  Rule: A document that cannot be read is refused by its place
    "Errors": 400 invalid_request_error, and the message explains the error.

    @id:document-that-cannot-be-read
    Scenario Outline: A source <source> is refused
      Given its "messages.0.content" is [{"type": "document", "source": <source>}]
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "source"

      Examples:
        | source                                                                          |
        | "a string"                                                                      |
        | {"type": "text", "media_type": "text/plain"}                                    |
        | {"type": "base64", "media_type": "application/pdf", "data": "no base64 at all"} |
        | {"type": "base64", "media_type": "application/pdf", "data": "bm8gUERG"}         |

    @id:document-out-of-reach
    Scenario: A document at an address where nothing is cannot be passed over
      RFC 6761, 6.4: no name under .invalid leads anywhere. A server that fetches cannot fetch it; one that does not says so.
      Given its "messages.0.content" is [{"type": "document", "source": {"type": "url", "url": "https://nowhere.invalid/a.pdf"}}]
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "source"

  @cap:pdf @MUST
  Rule: The text of a PDF is part of the prompt
    "PDF support": a PDF as base64 in a document block; its text is extracted and given to the model.

    @id:pdf-is-answered
    Scenario: A PDF is answered
      Given its message holds a PDF saying "Blue"
      When it is sent
      Then the reply is a message

    @id:pdf-is-counted @cap:token-counting
    Scenario: More text in a PDF is more of a prompt
      Given its message holds a PDF saying "Blue"
      And another whose message holds a PDF saying "Blue and red and green and every other colour that there is between them"
      When the tokens of both are counted
      Then the other's count is larger by at least 10
