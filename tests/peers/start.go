package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"go.etcd.io/etcd/client/v3/concurrency"
)

// etcdStart locks one Mutex, prints a line and waits for the end of its input.
func etcdStart(endpoint, name string) error {
	var requests atomic.Int64
	session, end, err := open(endpoint, &requests)
	if err != nil {
		return err
	}
	defer end()
	if err := concurrency.NewMutex(session, "/"+name).Lock(context.Background()); err != nil {
		return err
	}
	return printAndWait("locked")
}

// clientGoStart leads with one elector, prints a line and waits for the end of its input.
func clientGoStart(kubeconfig, namespace, name string) error {
	clients, err := dialServer(kubeconfig, 1)
	if err != nil {
		return err
	}
	lock, unlock := elector(clients[0], namespace, name, "elector")
	if err := lock(context.Background()); err != nil {
		return err
	}
	if err := printAndWait("locked"); err != nil {
		return err
	}
	return unlock()
}

// printAndWait prints a line, and returns at the end of the input.
func printAndWait(line string) error {
	fmt.Println(line)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}
