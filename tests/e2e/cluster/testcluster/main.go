// testcluster makes a real Kubernetes on one machine without a container engine and without pulling an image.
// See ../README.md.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

const usage = `testcluster makes a real Kubernetes on this machine: no container engine, no image pulls. Run it as root.

  build [--source DIR]                compile the components; does nothing when they are up to date
  image --tag NAME --out FILE.tar [--dockerfile FILE] [--target STAGE] [--env NAME=VALUE] BINARY...
                                      build the project's image around these binaries
  up [--nodes N]                      start a cluster; with 0 nodes only etcd and the API server, on loopback
  down                                end the cluster, whatever state it is in, and leave nothing behind
  load IMAGE.tar...                   give images to every node
  cut NODE, join NODE                 unplug a node's cable, plug it in again
  freeze NODE, thaw NODE              stop every process of a node and its pods, let them go on
  kill-kubelet NODE, start-kubelet NODE
  enter NODE COMMAND...               run a command inside a node

up, down and every later verb take --dir DIR, the cluster's folder, first (default ` + defaultDir + `).
Nodes are called node1, node2, ...
`

const defaultDir = "/var/tmp/raftduck-testcluster"

// verbs that work on a cluster; arguments are what follows the flags.
var verbs = map[string]func(c *cluster, arguments []string) error{
	"down":          func(c *cluster, _ []string) error { return c.down() },
	"load":          (*cluster).load,
	"cut":           onNode(node.cut),
	"join":          onNode(node.join),
	"freeze":        onNode(func(n node) error { return n.cgroup().freeze() }),
	"thaw":          onNode(func(n node) error { return n.cgroup().thaw() }),
	"kill-kubelet":  onNode(node.killKubelet),
	"start-kubelet": onNode(node.startKubelet),
	"enter":         enter,
	"run-node":      onNode(node.run), // what `up` starts for each node
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err := dispatch(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "testcluster %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func dispatch(verb string, arguments []string) error {
	flags := flag.NewFlagSet(verb, flag.ExitOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	switch verb {
	case "pause":
		return pause()
	case "build":
		source := flags.String("source", "tests/e2e/cluster", "")
		flags.Parse(arguments)
		return build(*source)
	case "image":
		var i image
		flags.StringVar(&i.tag, "tag", "", "")
		flags.StringVar(&i.out, "out", "", "")
		flags.StringVar(&i.dockerfile, "dockerfile", "Dockerfile", "")
		flags.StringVar(&i.target, "target", "runtime", "")
		flags.StringVar(&i.env, "env", "", "")
		flags.Parse(arguments)
		return i.build(flags.Args())
	}
	dir := flags.String("dir", defaultDir, "")
	if verb == "up" {
		nodes := flags.Int("nodes", 3, "")
		flags.Parse(arguments)
		c, err := open(*dir)
		if err != nil {
			return err
		}
		return c.up(*nodes)
	}
	run, known := verbs[verb]
	if !known {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	flags.Parse(arguments)
	c, err := open(*dir)
	if err != nil {
		return err
	}
	return run(c, flags.Args())
}

func onNode(run func(node) error) func(*cluster, []string) error {
	return func(c *cluster, arguments []string) error {
		if len(arguments) != 1 {
			return fmt.Errorf("name one node")
		}
		n, err := c.node(arguments[0])
		if err != nil {
			return err
		}
		return run(n)
	}
}

func enter(c *cluster, arguments []string) error {
	if len(arguments) < 2 {
		return fmt.Errorf("name a node and a command")
	}
	n, err := c.node(arguments[0])
	if err != nil {
		return err
	}
	command, err := n.inside(arguments[1:]...)
	if err != nil {
		return err
	}
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	return command.Run()
}

// cache holds what is made once and kept: binaries, the base image.
func cache(parts ...string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/root"
	}
	return filepath.Join(append([]string{home, ".cache/raftduck/kube"}, parts...)...)
}
