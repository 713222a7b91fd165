// Follow prints a developer's whole log and follows it, one event's JSON a line; it ends after as
// many events as its argument says.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"
	"os/signal"
	"strconv"

	grantex "grantex.dev/go"
)

func main() {
	wanted := math.MaxInt
	if len(os.Args) > 1 {
		number, err := strconv.Atoi(os.Args[1])
		if err != nil {
			log.Fatal(err)
		}
		wanted = number
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	client := grantex.NewClient(os.Getenv("GRANTEX_API_KEY"))
	events, errs, err := client.Events.Stream(ctx, &grantex.StreamOptions{
		Since: grantex.String("1970-01-01T00:00:00Z"),
		OnReconnect: func(r grantex.Reconnect) {
			log.Printf("reconnecting in %v: %v", r.Delay, r.Reason)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	for count := 0; count < wanted; count++ {
		select {
		case event := <-events:
			line, err := json.Marshal(map[string]any{
				"id": event.ID, "type": event.Type, "createdAt": event.Timestamp, "data": event.Data,
			})
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println(string(line))
		case err := <-errs:
			log.Fatal(err)
		}
	}
}
