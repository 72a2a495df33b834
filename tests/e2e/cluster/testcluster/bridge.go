package main

import (
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
)

// The nodes' cables end in a bridge on the host, whose address is the control plane's. One cluster with nodes at a time.
const (
	hostAddress = "10.90.0.1"
	maxNodes    = 9
)

// ip runs the commands of iproute2 one by one.
func ip(commands ...[]string) error {
	for _, command := range commands {
		if err := run("ip", command...); err != nil {
			return err
		}
	}
	return nil
}

// bridge is the name of the cluster's own bridge; no other cluster's, so `down` knows whose it is.
func (c *cluster) bridge() string { return "rd-" + c.hash() }

func (c *cluster) makeBridge(nodes int) error {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, address := range addresses {
		if strings.HasPrefix(address.String(), hostAddress+"/") {
			return errors.New(hostAddress + " is taken: another cluster with nodes is up")
		}
	}
	if err := ip(
		[]string{"link", "add", c.bridge(), "type", "bridge"},
		[]string{"address", "add", hostAddress + "/24", "dev", c.bridge()},
		[]string{"link", "set", c.bridge(), "up"},
		// The host reaches Services through the first node's kube-proxy.
		[]string{"route", "add", serviceRange, "via", nodeAddress(1)},
	); err != nil {
		return err
	}
	for number := 1; number <= nodes; number++ {
		if err := ip([]string{"route", "add", podRange(number), "via", nodeAddress(number)}); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) removeBridge() error {
	cables, err := os.ReadDir(link(c.bridge()) + "/brif")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, cable := range cables {
		// A cable goes away with its node's namespace, only not at once.
		deleted := ip([]string{"link", "delete", cable.Name()})
		if _, gone := os.Stat(link(cable.Name())); gone == nil {
			err = errors.Join(err, deleted)
		}
	}
	return errors.Join(err, ip([]string{"link", "delete", c.bridge()}))
}

func link(name string) string { return "/sys/class/net/" + name }

// plugIn lays the cable from the bridge into the network namespace of this process.
func (n node) plugIn(pid int) error {
	return ip(
		[]string{"link", "add", n.cable(), "master", n.bridge(), "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(pid)},
		[]string{"link", "set", n.cable(), "up"},
	)
}

func (n node) cut() error  { return ip([]string{"link", "set", n.cable(), "down"}) }
func (n node) join() error { return ip([]string{"link", "set", n.cable(), "up"}) }
