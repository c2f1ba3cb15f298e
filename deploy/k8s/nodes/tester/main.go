// What stands in for a program in the tests of a cluster. Without arguments it answers at every port of PORTS until it is told to end:
// with its host name, the path, and the acting user that the request names.
//
//	tester dial ADDRESS...      prints the addresses that accept a connection within two seconds
//	tester post URL             asks once, and prints the status
//	tester get URL SECONDS [ADDRESS [NAME:VALUE...]]
//	                            asks again and again, each time by a new connection, and prints how often each status came; ADDRESS
//	                            instead of the URL's, without a look at its certificate, and with these header fields
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 3 {
		serve()
		return
	}
	switch os.Args[1] {
	case "dial":
		dial(os.Args[2:])
	case "post":
		fmt.Println(status(http.Post(os.Args[2], "text/plain", nil)))
	case "get":
		get(os.Args[2], os.Args[3], os.Args[4:])
	}
}

// A request of POST makes the answer 503 from then on.
func state(flag *atomic.Bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			flag.Store(true)
		}
		if flag.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
}

func serve() {
	var unready, dead atomic.Bool
	http.HandleFunc("/readyz", state(&unready))
	http.HandleFunc("/livez", state(&dead))
	name, _ := os.Hostname()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, name, r.URL.Path, r.Header.Get("X-User-Id"))
	})
	servers := []*http.Server{}
	for _, port := range strings.Split(os.Getenv("PORTS"), ",") {
		server := &http.Server{Addr: ":" + port, ReadHeaderTimeout: 10 * time.Second}
		servers = append(servers, server)
		go func() { fmt.Println(server.ListenAndServe()) }()
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	<-ended
	for _, server := range servers {
		server.Shutdown(context.Background())
	}
}

func dial(addresses []string) {
	reached := make(chan string, len(addresses))
	for _, address := range addresses {
		go func() {
			connection, err := net.DialTimeout("tcp", address, 2*time.Second)
			if err != nil {
				reached <- ""
				return
			}
			connection.Close()
			reached <- address
		}()
	}
	for range addresses {
		if address := <-reached; address != "" {
			fmt.Println(address)
		}
	}
}

func get(url, seconds string, further []string) {
	duration, err := time.ParseDuration(seconds + "s")
	if err != nil {
		panic(err)
	}
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	pause := 20 * time.Millisecond
	if len(further) > 0 {
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, further[0])
		}
		for _, field := range further[1:] {
			name, value, _ := strings.Cut(field, ":")
			request.Header.Set(name, value)
		}
		// Below the gateway's limit for one user: ten in a second at one proxy.
		pause = 120 * time.Millisecond
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: transport}
	count := map[string]int{}
	for until := time.Now().Add(duration); time.Now().Before(until); time.Sleep(pause) {
		count[status(client.Do(request))]++
	}
	for status, times := range count {
		fmt.Println(times, status)
	}
}

func status(answer *http.Response, err error) string {
	if err != nil {
		return err.Error()
	}
	answer.Body.Close()
	return fmt.Sprint(answer.StatusCode)
}
