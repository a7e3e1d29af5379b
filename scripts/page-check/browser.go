package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// browser is a headless Chromium with one page, driven by the DevTools protocol over two pipes
// (--remote-debugging-pipe): JSON messages, each ended by a zero byte. See
// https://chromedevtools.github.io/devtools-protocol/.
type browser struct {
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	session string
	last    int // id of the last command
	events  []message
	profile string
}

// message is a command, its answer (same id) or an event (no id).
type message struct {
	ID        int             `json:"id,omitempty"`
	Method    string          `json:"method,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Params    any             `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// program is the browser's name, as Debian and others have it.
func program() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no chromium: install the Debian package chromium")
}

// start starts the browser, which ends with ctx at the latest. It reaches no network: no name resolves, and
// whatever has an address goes to a proxy on this machine that there is not (port 9, discard).
func start(ctx context.Context) (*browser, error) {
	path, err := program()
	if err != nil {
		return nil, err
	}
	profile, err := os.MkdirTemp("", "page-check-")
	if err != nil {
		return nil, err
	}
	arguments := []string{
		"--headless=new", "--remote-debugging-pipe", "--user-data-dir=" + profile, "--no-first-run",
		"--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
		"--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
		"--proxy-server=http://127.0.0.1:9", "--proxy-bypass-list=<-loopback>", "about:blank",
	}
	if os.Geteuid() == 0 {
		arguments = append(arguments, "--no-sandbox") // root cannot have Chromium's sandbox
	}
	commandsIn, commandsOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	answersIn, answersOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	b := &browser{process: exec.CommandContext(ctx, path, arguments...), in: commandsOut, out: bufio.NewReader(answersIn), profile: profile}
	b.process.ExtraFiles = []*os.File{commandsIn, answersOut} // its file descriptors 3 and 4
	if err := b.process.Start(); err != nil {
		return nil, err
	}
	commandsIn.Close()
	answersOut.Close()
	if err := b.openPage(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *browser) openPage() error {
	var created struct{ TargetID string }
	if err := b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &created); err != nil {
		return err
	}
	var attached struct{ SessionID string }
	if err := b.call("Target.attachToTarget", map[string]any{"targetId": created.TargetID, "flatten": true}, &attached); err != nil {
		return err
	}
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		if err := b.call(domain+".enable", nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// close ends the browser.
func (b *browser) close() {
	b.in.Close()
	b.process.Process.Kill()
	b.process.Wait()
	os.RemoveAll(b.profile)
}

// call sends a command and waits for its answer. Events that come meanwhile are kept.
func (b *browser) call(method string, params, result any) error {
	b.last++
	command, err := json.Marshal(message{ID: b.last, Method: method, SessionID: b.session, Params: params})
	if err != nil {
		return err
	}
	if _, err := b.in.Write(append(command, 0)); err != nil {
		return fmt.Errorf("browser: %w", err)
	}
	for {
		m, err := b.read()
		switch {
		case err != nil:
			return fmt.Errorf("browser: %s: %w", method, err)
		case m.ID != b.last:
			b.events = append(b.events, m)
		case m.Error != nil:
			return fmt.Errorf("browser: %s: %s", method, m.Error.Message)
		case result == nil:
			return nil
		default:
			return json.Unmarshal(m.Result, result)
		}
	}
}

func (b *browser) read() (m message, err error) {
	line, err := b.out.ReadBytes(0)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(line[:len(line)-1], &m)
}

// open opens a page of the given width and waits until it is loaded.
func (b *browser) open(url string, width int) error {
	if err := b.call("Emulation.setDeviceMetricsOverride", map[string]any{
		"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600,
	}, nil); err != nil {
		return err
	}
	b.events = nil
	var loaded struct{ ErrorText string }
	if err := b.call("Page.navigate", map[string]any{"url": url}, &loaded); err != nil {
		return err
	}
	if loaded.ErrorText != "" {
		return fmt.Errorf("%s: %s", url, loaded.ErrorText)
	}
	for i := 0; ; i++ {
		if i == len(b.events) {
			m, err := b.read()
			if err != nil {
				return err
			}
			b.events = append(b.events, m)
		}
		if b.events[i].Method == "Page.loadEventFired" {
			return nil
		}
	}
}

// evaluate runs a script in the page. result is what it returns, or what its promise does.
func (b *browser) evaluate(script string, result any) error {
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Exception struct{ Description string }
		}
	}
	if err := b.call("Runtime.evaluate", map[string]any{
		"expression": script, "returnByValue": true, "awaitPromise": true,
	}, &answer); err != nil {
		return err
	}
	if answer.ExceptionDetails != nil {
		return errors.New(answer.ExceptionDetails.Exception.Description)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Result.Value, result)
}

// press presses a key.
func (b *browser) press(key string, code int, text string) error {
	for _, kind := range []string{"keyDown", "keyUp"} {
		if err := b.call("Input.dispatchKeyEvent", map[string]any{
			"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text,
		}, nil); err != nil {
			return err
		}
	}
	return nil
}

// screenshot is the whole page as PNG.
func (b *browser) screenshot() ([]byte, error) {
	var shot struct{ Data []byte }
	err := b.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true}, &shot)
	return shot.Data, err
}
