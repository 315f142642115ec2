# For a tap. packaging/release.py writes url and sha256 of a release.
class Pensieve < Formula
  include Language::Python::Virtualenv

  desc "Anthropic Messages API from a model on your own machine, on Apple's MLX"
  homepage "https://pypi.org/project/pensieve-server/"
  url "https://files.pythonhosted.org/packages/source/p/pensieve-server/pensieve_server-0.1.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "Apache-2.0"

  depends_on arch: :arm64
  depends_on macos: :sonoma
  depends_on "python@3.13"

  def install
    # MLX exists as a wheel alone, so that the dependencies are installed by pip instead of being built as resources.
    virtualenv_create(libexec, "python3.13", without_pip: false)
    system libexec/"bin/python", "-m", "pip", "install", "--no-cache-dir", "--prefer-binary", buildpath
    bin.install_symlink libexec/"bin/pensieve"
  end

  service do
    run [opt_bin/"pensieve", "serve"]
    keep_alive crashed: true
    log_path var/"log/pensieve.log"
    error_log_path var/"log/pensieve.log"
  end

  test do
    (testpath/"script.toml").write <<~TOML
      [[reply]]
      text = "Hello from the formula."
    TOML
    port = free_port
    ENV["PENSIEVE_HOME"] = testpath/"home"
    server = spawn bin/"pensieve", "serve", "--port", port.to_s, "--script", testpath/"script.toml"
    begin
      body = '{"model": "claude-any", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}'
      url = "http://127.0.0.1:#{port}/v1/messages"
      answer = shell_output("curl --silent --retry 30 --retry-connrefused #{url} -d '#{body}'")
      assert_match "Hello from the formula.", answer
    ensure
      Process.kill "TERM", server
      Process.wait server
    end
  end
end
