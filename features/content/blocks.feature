@W12
Feature: Every block of a conversation is read
  Clients send a conversation back whole, with the blocks that earlier answers and tools put into it, also when another server
  wrote them. The scenarios do not judge what the model makes of a block, only that its text counts as part of the prompt.

  Background:
    Given the server under test
    And a request
    And its "max_tokens" is 1

  @cap:messages @MUST
  Rule: No block is dropped silently
    "Messages API reference", ContentBlockParam. An answer about something that the model never saw would be made up.

    @id:text-block-is-counted @cap:token-counting
    Scenario Outline: More text in one of several text blocks in <whose> message makes the prompt longer
      Given its "messages" is [{"role": "user", "content": [{"type": "text", "text": "Hello."}, {"type": "text", "text": "Blue."}]}, {"role": "assistant", "content": [{"type": "text", "text": "Hi."}, {"type": "text", "text": "Blue."}]}, {"role": "user", "content": "Go on."}]
      And another request whose "messages.<number>.content.1.text" is "Blue, and red, and green, and every other colour that there is between the three of them."
      When the tokens of both requests are counted
      Then the other request's count is larger by at least 10

      Examples:
        | whose           | number |
        | the user's      | 0      |
        | the assistant's | 1      |

    @id:upload-is-used-or-refused @cap:errors
    Scenario: A file for a container is either part of the prompt or refused
      "Code execution tool", container_upload. No server has a file of this name.
      Given its "messages.0.content" is [{"type": "container_upload", "file_id": "file_of_tomorrow"}, {"type": "text", "text": "What is it?"}]
      When it is sent
      Then if it is answered, its prompt is longer than without blocks of type "container_upload"

  @cap:search-results @MUST
  Rule: The text of a search result is part of the prompt
    "Search results": a block of type search_result has a title, a source and content, and may stand in a user's message or in
    the result of a tool.

    @id:search-result-is-counted @cap:token-counting
    Scenario Outline: More text in a search result's <field> in a user's message makes the prompt longer
      Given its "messages.0.content" is [{"type": "search_result", "title": "Blue", "source": "blue.example", "content": [{"type": "text", "text": "Blue."}]}, {"type": "text", "text": "What is it?"}]
      And another request whose "messages.0.content.0.<field>" is "Blue, and red, and green, and every other colour that there is between the three of them."
      When the tokens of both requests are counted
      Then the other request's count is larger by at least 10

      Examples:
        | field          |
        | title          |
        | source         |
        | content.0.text |

    @id:search-result-of-a-tool-is-counted @cap:token-counting @cap:tools
    Scenario: More text in a search result that a tool returned makes the prompt longer
      Given it offers the tool "get_weather"
      And its "messages" is [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_01", "name": "get_weather", "input": {}}]}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_01", "content": [{"type": "search_result", "title": "Blue", "source": "blue.example", "content": [{"type": "text", "text": "Blue."}]}]}]}]
      And another request whose "messages.2.content.0.content.0.content.0.text" is "Blue, and red, and green, and every other colour that there is between the three of them."
      When the tokens of both requests are counted
      Then the other request's count is larger by at least 10

    @id:search-result-is-answered
    Scenario: A request with a search result is answered
      Given its "messages.0.content" is [{"type": "search_result", "title": "Blue", "source": "blue.example", "content": [{"type": "text", "text": "Blue."}]}, {"type": "text", "text": "What is it?"}]
      When it is sent
      Then the reply is a message

  @cap:server-tool-results @SHOULD
  Rule: The calls and results of a server's own tools are part of the prompt
    "Web search tool", "Web fetch tool", "Code execution tool", "Advisor tool" and "MCP connector": the calls and results are
    content of the assistant's message, and clients pass it back. A SHOULD, since Anthropic refuses encrypted content that it
    did not write.

    @id:server-tool-block-is-counted @cap:token-counting
    Scenario Outline: More text of a server's own tool in a block of type <type> makes the prompt longer
      Given it uses the betas "mcp-client-2025-11-20,advisor-tool-2026-03-01"
      And its "messages" is [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": [{"type": "server_tool_use", "id": "srvtoolu_01", "name": "<tool>", "input": {"text": "Blue."}}, <block>, {"type": "text", "text": "Done."}]}, {"role": "user", "content": "Go on."}]
      And another request whose "messages.1.content.<field>" is "Blue, and red, and green, and every other colour that there is between the three of them."
      When the tokens of both requests are counted
      Then the other request's count is larger by at least 10

      Examples:
        | type                                   | tool                       | field                             | block |
        | server_tool_use                        | web_search                 | 0.input.text                      | {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_01", "content": []} |
        | web_search_tool_result                 | web_search                 | 1.content.0.title                 | {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_01", "content": [{"type": "web_search_result", "title": "Blue", "url": "https://blue.example", "encrypted_content": "Ymx1ZQ=="}]} |
        | web_fetch_tool_result                  | web_fetch                  | 1.content.content.source.data     | {"type": "web_fetch_tool_result", "tool_use_id": "srvtoolu_01", "content": {"type": "web_fetch_result", "url": "https://blue.example", "content": {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Blue."}}}} |
        | code_execution_tool_result             | code_execution             | 1.content.stdout                  | {"type": "code_execution_tool_result", "tool_use_id": "srvtoolu_01", "content": {"type": "code_execution_result", "stdout": "Blue.", "stderr": "", "return_code": 0, "content": []}} |
        | encrypted code_execution_tool_result   | code_execution             | 1.content.stderr                  | {"type": "code_execution_tool_result", "tool_use_id": "srvtoolu_01", "content": {"type": "encrypted_code_execution_result", "encrypted_stdout": "Ymx1ZQ==", "stderr": "Blue.", "return_code": 0, "content": []}} |
        | bash_code_execution_tool_result        | bash_code_execution        | 1.content.stdout                  | {"type": "bash_code_execution_tool_result", "tool_use_id": "srvtoolu_01", "content": {"type": "bash_code_execution_result", "stdout": "Blue.", "stderr": "", "return_code": 0, "content": []}} |
        | text_editor_code_execution_tool_result | text_editor_code_execution | 1.content.content                 | {"type": "text_editor_code_execution_tool_result", "tool_use_id": "srvtoolu_01", "content": {"type": "text_editor_code_execution_view_result", "file_type": "text", "content": "Blue."}} |
        | tool_search_tool_result                | tool_search_tool_regex     | 1.content.error_message           | {"type": "tool_search_tool_result", "tool_use_id": "srvtoolu_01", "content": {"type": "tool_search_tool_result_error", "error_code": "unavailable", "error_message": "Blue."}} |
        | advisor_tool_result                    | advisor                    | 1.content.text                    | {"type": "advisor_tool_result", "tool_use_id": "srvtoolu_01", "content": {"type": "advisor_result", "text": "Blue."}} |

    @id:mcp-block-is-counted @cap:token-counting
    Scenario Outline: More text of an MCP server in a block of type <type> makes the prompt longer
      Given it uses the betas "mcp-client-2025-11-20,mcp-client-2026-09-15"
      And its "messages" is [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": [{"type": "mcp_tool_listing", "mcp_server_name": "paints", "tools": [{"name": "mix", "description": "Blue.", "input_schema": {"type": "object"}}]}, {"type": "mcp_tool_use", "id": "mcptoolu_01", "name": "mix", "server_name": "paints", "input": {"text": "Blue."}}, {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_01", "is_error": false, "content": [{"type": "text", "text": "Blue."}]}, {"type": "text", "text": "Done."}]}, {"role": "user", "content": "Go on."}]
      And another request whose "messages.1.content.<field>" is "Blue, and red, and green, and every other colour that there is between the three of them."
      When the tokens of both requests are counted
      Then the other request's count is larger by at least 10

      Examples:
        | type             | field                 |
        | mcp_tool_listing | 0.tools.0.description |
        | mcp_tool_use     | 1.input.text          |
        | mcp_tool_result  | 2.content.0.text      |

    @id:tool-search-shows-what-it-found @cap:token-counting @cap:tool-search
    Scenario: A deferred tool that a search found on another server is part of the prompt
      "Tool search tool": the references in its result are expanded into the tools' definitions.
      Given its "tools" is [{"name": "look", "input_schema": {"type": "object"}}, {"name": "paint", "description": "Blue, and red, and green, and every other colour that there is between the three of them.", "input_schema": {"type": "object"}, "defer_loading": true}]
      And its "messages" is [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": [{"type": "server_tool_use", "id": "srvtoolu_01", "name": "tool_search_tool_regex", "input": {"query": "paint"}}, {"type": "tool_search_tool_result", "tool_use_id": "srvtoolu_01", "content": {"type": "tool_search_tool_search_result", "tool_references": []}}]}, {"role": "user", "content": "Go on."}]
      And another request whose "messages.1.content.1.content.tool_references" is [{"type": "tool_reference", "tool_name": "paint"}]
      When the tokens of both requests are counted
      Then the other request's count is larger by at least 10

  @cap:compacted-history @MUST
  Rule: A compaction block stands for everything before it
    "Compaction at a token threshold": on later requests, all content before the compaction block is dropped, and the summary
    takes its place. "Compaction on demand": the block is first in messages.

    @id:compaction-block-is-counted @cap:token-counting
    Scenario: More text in a compaction block makes the prompt longer
      Given it uses the betas "compact-2026-01-12"
      And its "messages" is [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": [{"type": "compaction", "content": "Blue."}, {"type": "text", "text": "Done."}]}, {"role": "user", "content": "Go on."}]
      And another request whose "messages.1.content.0.content" is "Blue, and red, and green, and every other colour that there is between the three of them."
      When the tokens of both requests are counted
      Then the other request's count is larger by at least 10

    @id:compacted-messages-are-dropped @cap:token-counting
    Scenario: More text before a compaction block does not make the prompt longer
      Given it uses the betas "compact-2026-01-12"
      And its "messages" is [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": [{"type": "compaction", "content": "Blue."}, {"type": "text", "text": "Done."}]}, {"role": "user", "content": "Go on."}]
      And another request whose "messages.0.content" is "Blue, and red, and green, and every other colour that there is between the three of them."
      When the tokens of both requests are counted
      Then both counts are the same

    @id:failed-compaction-changes-nothing
    Scenario: A compaction block without content is accepted
      The SDKs' BetaCompactionBlockParam: a block with null content stands for a compaction that failed, and is a no-op.
      Given it uses the betas "compact-2026-01-12"
      And its "messages" is [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": [{"type": "compaction", "content": null}, {"type": "text", "text": "Done."}]}, {"role": "user", "content": "Go on."}]
      When it is sent
      Then the reply is a message

  @cap:tool-changes @W14 @MUST
  Rule: A system message may add and remove tools
    "Mid-conversation system messages and tool changes": tool_addition offers a tool from its place on, tool_removal withdraws
    one.

    @id:added-tool-is-counted @cap:token-counting
    Scenario Outline: A tool added by <way> is part of the prompt
      Given it uses the betas "mid-conversation-tool-changes-2026-07-01,inline-tools-2026-09-15"
      And its "tools" is [{"name": "look", "input_schema": {"type": "object"}}, {"name": "paint", "description": "Blue, and red, and green, and every other colour that there is between the three of them.", "input_schema": {"type": "object"}, "defer_loading": true}]
      And its "messages" is [{"role": "user", "content": "Hello."}, {"role": "system", "content": [{"type": "text", "text": "Paint."}]}]
      And another request whose "messages.1.content" is [{"type": "text", "text": "Paint."}, {"type": "tool_addition", "tool": <tool>}]
      When the tokens of both requests are counted
      Then the other request's count is larger by at least 10

      Examples:
        | way            | tool                                                                                                                                                                                                                                |
        | reference      | {"type": "tool_reference", "name": "paint"}                                                                                                                                                                                          |
        | its definition | {"type": "tool_definition", "definition": {"name": "draw", "description": "Blue, and red, and green, and every other colour that there is between the three of them.", "input_schema": {"type": "object"}}} |

    @id:removed-tool-is-not-called
    Scenario: A removed tool is not called
      Given it uses the betas "mid-conversation-tool-changes-2026-07-01"
      And its "tools" is [{"name": "look", "input_schema": {"type": "object"}}]
      And its "tool_choice" is {"type": "any"}
      And its "max_tokens" is 200
      And its "messages" is [{"role": "user", "content": "Look around."}, {"role": "system", "content": [{"type": "tool_removal", "tool": {"type": "tool_reference", "name": "look"}}]}]
      When it is sent
      Then it is answered, or refused as "invalid_request_error"
      And if it is answered, it calls no tool
      And if it is refused, the error names "look"

  @cap:turn-scoped-system @MUST
  Rule: A system message may be for one turn, or only set the effort
    "Turn-scoped system messages": with clear_at next_user_message, a message costs no tokens once a later user message exists.
    "Per-message effort": a system message may have an effort and no content.

    @id:cleared-system-message-is-no-prompt @cap:token-counting
    Scenario: The text of a system message for an earlier turn is not part of the prompt
      Given it uses the betas "mid-conversation-system-clear-at-2026-08-21"
      And its "messages" is [{"role": "user", "content": "Hello."}, {"role": "system", "clear_at": "next_user_message", "content": "Blue."}, {"role": "assistant", "content": "Done."}, {"role": "user", "content": "Go on."}]
      And another request whose "messages.1.content" is "Blue, and red, and green, and every other colour that there is between the three of them."
      When the tokens of both requests are counted
      Then both counts are the same

    @id:system-message-of-this-turn-is-counted @cap:token-counting
    Scenario: The text of a system message for this turn is part of the prompt
      Given it uses the betas "mid-conversation-system-clear-at-2026-08-21"
      And its "messages" is [{"role": "user", "content": "Hello."}, {"role": "system", "clear_at": "next_user_message", "content": "Blue."}]
      And another request whose "messages.1.content" is "Blue, and red, and green, and every other colour that there is between the three of them."
      When the tokens of both requests are counted
      Then the other request's count is larger by at least 10

    @id:system-message-with-only-an-effort
    Scenario: A system message with only an effort is accepted
      Given it uses the betas "mid-conversation-output-config-2026-07-01"
      And its "messages" is [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hi."}, {"role": "system", "content": [], "output_config": {"effort": "low"}}, {"role": "user", "content": "Go on."}]
      When it is sent
      Then the reply is a message
