package grantex

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// worker builds the README's worker as a program of its own, and returns its path.
func worker(t *testing.T) string {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(readme), "### A worker that stops cleanly")
	program := regexp.MustCompile("(?s)```go\n(.*?)```").FindStringSubmatch(section)
	if !found || program == nil {
		t.Fatal("the README has no worker")
	}
	sdk, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	module := "module worker\ngo 1.21\nrequire grantex.dev/go v0.1.0\nreplace grantex.dev/go => " + sdk + "\n"
	for name, text := range map[string]string{"main.go": program[1], "go.mod": module} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-o", "worker", ".")
	build.Dir = folder
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return filepath.Join(folder, "worker")
}

func TestTheReadmesWorkerExitsWith1AfterAnErrorThatEndsItsStream(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusGone)
		fmt.Fprint(w, `{"message":"events after this id are no longer retained","code":"EVENTS_EXPIRED"}`)
	}))
	defer service.Close()
	command := exec.Command(worker(t))
	command.Dir = t.TempDir()
	command.Env = append(os.Environ(), "GRANTEX_BASE_URL="+service.URL, "GRANTEX_API_KEY=k")
	output, err := command.CombinedOutput()
	if code := command.ProcessState.ExitCode(); code != 1 || !strings.Contains(string(output), "EVENTS_EXPIRED") {
		t.Errorf("%v: exit code %d: %s", err, code, output)
	}
}

func TestTheReadmesWorkerGoesOnAfterATornLine(t *testing.T) {
	line := func(number int) string {
		return fmt.Sprintf(`{"id":"evt_%026d","type":"t","createdAt":"c","data":{}}`, number) + "\n"
	}
	program := worker(t)
	for name, kept := range map[string]string{
		"no file":        "",
		"half a line":    line(1)[:40],
		"a whole file":   line(1) + line(2),
		"a torn line":    line(1) + line(2) + line(3)[:40],
		"a long line":    strings.Replace(line(2), "{}", `{"x":"`+strings.Repeat("x", 100_000)+`"}`, 1) + line(3)[:1],
		"a lost newline": line(1) + strings.TrimSuffix(line(2), "\n"),
	} {
		t.Run(name, func(t *testing.T) {
			whole := kept[:strings.LastIndexByte(kept, '\n')+1]
			lastID := regexp.MustCompile(`evt_[0-9]{26}`).FindAllString(whole, -1)
			askedFor := make(chan string, 1)
			service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				askedFor <- r.Header.Get("Last-Event-ID")
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprintf(w, "data: %s\n", line(9))
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}))
			defer service.Close()
			folder := t.TempDir()
			file := filepath.Join(folder, "events.ndjson")
			if kept != "" {
				if err := os.WriteFile(file, []byte(kept), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			command := exec.Command(program)
			command.Dir = folder
			command.Env = append(os.Environ(), "GRANTEX_BASE_URL="+service.URL, "GRANTEX_API_KEY=k")
			var output strings.Builder
			command.Stdout, command.Stderr = &output, &output
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			defer command.Process.Kill()
			want, cursor := whole+line(9), ""
			if len(lastID) > 0 {
				cursor = lastID[len(lastID)-1]
			}
			select {
			case asked := <-askedFor:
				if asked != cursor {
					t.Errorf("it goes on after %q, not %q", asked, cursor)
				}
			case <-time.After(patience):
				t.Fatal("it does not connect")
			}
			has := ""
			for end := time.Now().Add(patience); has != want && time.Now().Before(end); time.Sleep(time.Millisecond) {
				text, _ := os.ReadFile(file)
				has = string(text)
			}
			if has != want {
				t.Errorf("the file is %q, not %q", has, want)
			}
			if err := command.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := command.Wait(); err != nil {
				t.Errorf("%v: %s", err, output.String())
			}
		})
	}
}
