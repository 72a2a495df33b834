package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// wait polls until check has no complaint, and says what did not come, and why, when time is up.
func wait(limit time.Duration, what string, check func() error) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		err := check()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v for %s: %w", limit, what, err)
		}
	}
}

// process is a component that outlives this program. Its output goes to a log of its name.
type process struct {
	*exec.Cmd
	log   string
	ended chan struct{}
}

func (c *cluster) start(name, binary string, arguments ...string) (*process, error) {
	return c.startAs(&syscall.SysProcAttr{}, name, binary, arguments...)
}

func (c *cluster) startAs(attributes *syscall.SysProcAttr, name, binary string, arguments ...string) (*process, error) {
	p := &process{Cmd: exec.Command(binary, arguments...), log: c.path("log", name+".log"), ended: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	attributes.Setsid = true // a Ctrl-C at the terminal is not for it
	p.SysProcAttr, p.Stdout, p.Stderr = attributes, log, log
	if err := p.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.Wait()
		close(p.ended)
	}()
	return p, nil
}

// until waits like wait, but no longer than the process lives; the end of its log goes into the error.
func (p *process) until(limit time.Duration, what string, check func() error) error {
	var died error
	err := wait(limit, what, func() error {
		select {
		case <-p.ended:
			died = fmt.Errorf("%s ended (%v)", filepath.Base(p.log), p.ProcessState)
			return nil
		default:
			return check()
		}
	})
	if died != nil {
		err = died
	}
	if err == nil {
		return nil
	}
	log, _ := os.ReadFile(p.log)
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	return fmt.Errorf("%w; the end of %s:\n%s", err, p.log, bytes.Join(lines[max(0, len(lines)-8):], []byte("\n")))
}

// run runs a command to its end; what it printed goes into the error.
func run(name string, arguments ...string) error {
	_, err := outputOf(name, arguments...)
	return err
}

func outputOf(name string, arguments ...string) (string, error) {
	return output(exec.Command(name, arguments...))
}

func output(command *exec.Cmd) (string, error) {
	out, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(command.Args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), nil
}
