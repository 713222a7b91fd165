// gorilla/websocket: a connection that has ended is replaced by one that resumes at its cursor.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

var start = "since=2020-01-01T00:00:00Z"

func follow() error {
	header := http.Header{"Authorization": {"Bearer " + os.Getenv("GRANTEX_API_KEY")}}
	base := strings.Replace(os.Getenv("GRANTEX_BASE_URL"), "http", "ws", 1)
	connection, _, err := websocket.DefaultDialer.Dial(base+"/v1/events/ws?"+start, header)
	if err != nil {
		return err
	}
	defer connection.Close()
	for {
		var event struct{ ID string }
		if err := connection.ReadJSON(&event); err != nil {
			return err
		}
		start = "lastEventId=" + event.ID
		fmt.Println(event.ID)
	}
}

func main() {
	for {
		log.Print(follow())
		time.Sleep(time.Second / 2)
	}
}
