@W12
Feature: Documents in a message
  A document block is part of a user's turn. The scenarios do not judge what the model makes of it, only that its text counts
  as part of the prompt.

  Background:
    Given the server under test
    And a request
    And its "max_tokens" is 1

  @cap:documents @MUST
  Rule: The text of a document is part of the prompt
    "PDF support" and "Citations", document types: a source of type text holds plain text, one of type content a string
    or blocks. The SDKs' DocumentBlockParam.

    @id:document-is-answered
    Scenario Outline: A document given as <kind> is answered
      Given its "messages.0.content" is [{"type": "document", "source": <source>}, {"type": "text", "text": "What is it?"}]
      When it is sent
      Then the reply is a message

      Examples:
        | kind             | source                                                                                    |
        | plain text       | {"type": "text", "media_type": "text/plain", "data": "It is a list of all that is blue."} |
        | a string         | {"type": "content", "content": "It is a list of all that is blue."}                       |
        | blocks of text   | {"type": "content", "content": [{"type": "text", "text": "It is a list."}]}               |

    @id:document-is-counted @cap:token-counting
    Scenario Outline: More text in a document given as <kind> makes the prompt longer
      Given its "messages.0.content" is [{"type": "document", "source": <source>}, {"type": "text", "text": "What is it?"}]
      And another request whose "messages.0.content.0.source.<field>" is <more>
      When the tokens of both requests are counted
      Then the other request's count is larger by at least 10

      Examples:
        | kind           | field   | source                                                           | more                                                                                                  |
        | plain text     | data    | {"type": "text", "media_type": "text/plain", "data": "Blue."}    | "Blue, and red, and green, and every other colour that there is between the three of them."           |
        | a string       | content | {"type": "content", "content": "Blue."}                          | "Blue, and red, and green, and every other colour that there is between the three of them."           |
        | blocks of text | content | {"type": "content", "content": [{"type": "text", "text": "Blue."}]} | [{"type": "text", "text": "Blue, and red, and green, and every other colour between the three of them."}] |

    @id:document-title-and-context-are-counted @cap:token-counting
    Scenario Outline: A document's <field> is part of the prompt
      "Citations", document types: title and context are passed to the model.
      Given its "messages.0.content" is [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Blue."}}]
      And another request whose "messages.0.content.0.<field>" is "What the sea tells the sky about all of its colours"
      When the tokens of both requests are counted
      Then the other request's count is larger

      Examples:
        | field   |
        | title   |
        | context |

    @id:document-count-equals-usage @cap:token-counting @W17
    Scenario: The token count of a document equals its usage
      Given its "messages.0.content" is [{"type": "document", "title": "Colours", "source": {"type": "text", "media_type": "text/plain", "data": "Blue."}}, {"type": "text", "text": "Well?"}]
      When its tokens are counted
      And it is sent
      Then the count equals the reply's usage

  @cap:documents @MUST
  Rule: An unreadable document is refused with the path of the field
    "Errors": 400 invalid_request_error, and the message explains the error.

    @id:document-that-cannot-be-read
    Scenario Outline: The document source <source> is refused
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
    Scenario: A document at an unreachable URL is refused
      RFC 6761, 6.4: names under .invalid never resolve. A server that fetches URLs cannot fetch this one; others must say so.
      Given its "messages.0.content" is [{"type": "document", "source": {"type": "url", "url": "https://nowhere.invalid/a.pdf"}}]
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "source"

  @cap:documents @SHOULD
  Rule: A PDF is refused in the words that clients know
    Claude Code 2.1.328: after a 400 with one of these phrases it removes the PDF and goes on; after any other, the PDF stays in the
    conversation and every later turn fails.

    @id:pdf-refusal-is-in-known-words
    Scenario Outline: The refusal of a PDF that is <what> starts with words that clients know
      Given its "messages.0.content" is [{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "<data>"}}]
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error starts with <start>

      Examples:
        | what   | data     | start                                                         |
        | empty  |          | "PDF cannot be empty"                                         |
        | no PDF | bm8gUERG | "Could not process PDF" or "The PDF specified was not valid" |

  @cap:pdf @MUST
  Rule: The text of a PDF is part of the prompt
    "PDF support": a PDF as base64 in a document block; its text is extracted and given to the model.

    @id:pdf-is-answered
    Scenario: A request with a PDF is answered
      Given its message contains a PDF with the text "Blue"
      When it is sent
      Then the reply is a message

    @id:pdf-is-counted @cap:token-counting
    Scenario: More text in a PDF makes the prompt longer
      Given its message contains a PDF with the text "Blue"
      And another request whose message contains a PDF with the text "Blue and red and green and every other colour that there is between them"
      When the tokens of both requests are counted
      Then the other request's count is larger by at least 10

  @cap:pdf @SHOULD
  Rule: A PDF that is too long is refused before it is read
    "PDF support", requirements: at most 600 pages in a request. Without a limit, a file of a few kilobytes keeps a server busy for
    minutes.

    @id:pdf-with-too-many-pages
    Scenario: A PDF of 1200 pages is refused
      Given its message contains a PDF of 1200 pages
      When it is sent
      Then it is refused as "invalid_request_error" with status 400
      And the error names "source"
