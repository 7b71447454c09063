// A small shop in Go that logs with package log, and fails as told: shop PORT FAULT.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

type order struct {
	cents, count int
}

type shop struct {
	orders map[int]*order
}

func (s *shop) handle(number int) {
	o := s.orders[number]
	log.Printf("order %d: %d cents each, errors=0", number, o.cents/o.count)
}

func fails(fault string, port string, number int) error {
	switch fault {
	case "refused":
		_, err := http.Get("http://127.0.0.1:" + port + "/stock")
		return err
	case "slow":
		client := http.Client{Timeout: 200 * time.Millisecond}
		_, err := client.Get("http://127.0.0.1:" + port + "/slow")
		return err
	case "deaf":
		_, err := net.DialTimeout("tcp", "127.0.0.1:"+port, 200*time.Millisecond)
		return err
	case "nameless":
		_, err := net.Dial("tcp", "backend.invalid:80")
		return err
	case "full":
		return os.WriteFile("/dev/full", make([]byte, 10000), 0o600)
	}
	return nil
}

func main() {
	port, fault := os.Args[1], ""
	if len(os.Args) > 2 {
		fault = os.Args[2]
	}
	log.Printf("listening on :%s, panic handler installed, maxErrors=0", port)
	s := &shop{orders: map[int]*order{}}
	for number := 0; number < 30; number++ {
		s.orders[number] = &order{1999 + number, 1 + number%3}
		s.handle(number)
	}
	for number := 1000; number < 1003; number++ {
		if err := fails(fault, port, number); err != nil {
			log.Printf("ERROR order %d failed: %v", number, err)
		}
	}
	switch fault {
	case "panic":
		panic(fmt.Sprintf("order %d has no items", 1000))
	case "nil":
		s.handle(1000)
	case "recovered":
		http.HandleFunc("/order", func(http.ResponseWriter, *http.Request) { s.handle(1000) })
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		go func() { log.Print(http.Serve(listener, nil)) }()
		for range [3]int{} {
			http.Get("http://" + listener.Addr().String() + "/order")
		}
	case "map":
		var group sync.WaitGroup
		for n := 0; n < 8; n++ {
			group.Add(1)
			go func() {
				for i := 0; i < 1000000; i++ {
					s.orders[i%7] = &order{1, 1}
				}
				group.Done()
			}()
		}
		group.Wait()
	case "fatal":
		log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
	}
	log.Print("stopped, 0 failed")
}
