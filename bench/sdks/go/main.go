// Read, with sdk|lines|json COUNT, reads so many replayed events, and prints what that cost.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	grantex "grantex.dev/go"
)

const since = "1970-01-01T00:00:00Z"

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func sdk(ctx context.Context, wanted int) (count int) {
	client := grantex.NewClient("")
	events, errs, err := client.Events.Stream(ctx, &grantex.StreamOptions{Since: grantex.String(since)})
	if err != nil {
		log.Fatal(err)
	}
	for count < wanted {
		select {
		case event := <-events:
			if event.ID != "" {
				count++
			}
		case err := <-errs:
			log.Fatal(err)
		}
	}
	return count
}

func lines(ctx context.Context, wanted int, parse bool) (count int) {
	url := os.Getenv("GRANTEX_BASE_URL") + "/v1/events/stream?since=" + since
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("GRANTEX_API_KEY"))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	scanner := bufio.NewScanner(response.Body)
	for count < wanted && scanner.Scan() {
		data, ok := bytes.CutPrefix(scanner.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		if parse {
			var event map[string]any
			if err := json.Unmarshal(data, &event); err != nil {
				log.Fatal(err)
			}
		}
		count++
	}
	return count
}

func main() {
	wanted, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	start, count := cpuSeconds(), 0
	if os.Args[1] == "sdk" {
		count = sdk(ctx, wanted)
	} else {
		count = lines(ctx, wanted, os.Args[1] == "json")
	}
	fmt.Printf("{\"events\":%d,\"cpuSeconds\":%f}\n", count, cpuSeconds()-start)
}
