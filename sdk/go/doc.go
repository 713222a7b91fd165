// Package grantex is a client of Grantex, an authorization service for AI agents. Every change of
// its state is a durable event.
//
//	client := grantex.NewClient(os.Getenv("GRANTEX_API_KEY"))
//	events, errs, err := client.Events.Stream(ctx, &grantex.StreamOptions{
//		EventTypes: []string{"budget.exhausted"},
//	})
//	if err != nil {
//		log.Fatal(err)
//	}
//	for {
//		select {
//		case event := <-events:
//			err := client.Grants.Revoke(ctx, event.Data["grantId"].(string))
//			log.Println(event.ID, err)
//		case err := <-errs:
//			log.Fatal(err)
//		}
//	}
package grantex
