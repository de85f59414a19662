// Command port-forward is the part of a node that forwards ports of pods, with the code that kubelets and container
// runtimes serve it with. A pod's port is the same port of this machine's loopback. It is run as
// `port-forward <certificate> <key>`, listens on a free port of loopback and prints its number.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: port-forward <certificate> <key>")
	}
	certificate, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	// Upgraded connections are those of HTTP/1.1.
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	http.HandleFunc("/portForward/{namespace}/{pod}", serve)
	log.Fatal(http.Serve(listener, nil))
}

func serve(response http.ResponseWriter, request *http.Request) {
	log.Printf("%s %s for %s", request.Method, request.URL, request.Header.Get("Sec-WebSocket-Protocol"))
	options, err := portforward.NewV4Options(request)
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	pod := request.PathValue("pod")
	const idle, creation = 4 * time.Hour, 30 * time.Second
	portforward.ServePortForward(response, request, loopback{}, pod, "", options, idle, creation, portforward.SupportedProtocols)
}

// loopback stands for the network of every pod.
type loopback struct{}

func (loopback) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer connection.Close()
	go func() {
		io.Copy(connection, stream)
		connection.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, connection)
	return err
}
