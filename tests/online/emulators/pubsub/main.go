// Google's own double of Pub/Sub as a server: pubsub -port N.
package main

import (
	"flag"
	"log"

	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc/codes"
)

func main() {
	port := flag.Int("port", 0, "of 127.0.0.1")
	flag.Parse()
	// What it seeks back to has no content, and ends it when it is delivered.
	seek := pstest.WithErrorInjection("Seek", codes.Unimplemented, "no seek here")
	server := pstest.NewServerWithPort(*port, seek)
	log.Print("listens on ", server.Addr)
	select {}
}
