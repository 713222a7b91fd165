// r3labs/sse: reconnects after an error and sends the last id, but returns where the service ends
// the stream in order.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/r3labs/sse/v2"
)

func main() {
	client := sse.NewClient(os.Getenv("GRANTEX_BASE_URL") + "/v1/events/stream?since=2020-01-01T00:00:00Z")
	client.Headers["Authorization"] = "Bearer " + os.Getenv("GRANTEX_API_KEY")
	for {
		err := client.SubscribeRaw(func(message *sse.Event) {
			var event struct{ ID string }
			// A block without data moves the id only.
			if len(message.Data) > 0 && json.Unmarshal(message.Data, &event) == nil {
				fmt.Println(event.ID)
			}
		})
		log.Print(err)
		time.Sleep(time.Second / 2)
	}
}
