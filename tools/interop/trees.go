package main

// Records, trees and proofs, by golang.org/x/mod/sumdb/tlog.

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// checkRecords reads every entry and proves it in the newest tree, by the tiles of that tree.
func checkRecords(s *site) error {
	reader := tlog.TileHashReader(s.newest, s)
	for first := int64(0); first < s.newest.N; first += 256 {
		width := 256
		if s.newest.N-first < 256 {
			width = int(s.newest.N - first)
		}
		entries, err := s.entries(first/256, width)
		if err != nil {
			return err
		}
		for i, entry := range entries {
			index, hash := first+int64(i), tlog.RecordHash(entry)
			proof, err := tlog.ProveRecord(s.newest.N, index, reader)
			if err != nil {
				return fmt.Errorf("record %d: %w", index, err)
			}
			if err := tlog.CheckRecord(proof, s.newest.N, s.newest.Hash, index, hash); err != nil {
				return fmt.Errorf("record %d: %w", index, err)
			}
			s.records = append(s.records, hash)
			s.counts.RecordProofs++
		}
	}
	s.counts.Records = len(s.records)
	if int64(len(s.records)) != s.newest.N {
		return fmt.Errorf("%d records in a log of %d", len(s.records), s.newest.N)
	}
	return nil
}

// checkTrees computes every head's root from its own tiles and proves every head in every later one.
func checkTrees(s *site) error {
	for i, newer := range s.heads {
		if newer.N == 0 {
			// RFC 6962 §2.1. Older versions of tlog.TreeHash say zeros.
			if newer.Hash != sha256.Sum256(nil) {
				return fmt.Errorf("the empty tree has root %v", newer.Hash)
			}
			continue
		}
		reader := tlog.TileHashReader(newer, s)
		root, err := tlog.TreeHash(newer.N, reader)
		if err != nil || root != newer.Hash {
			return fmt.Errorf("tree of size %d: root %v, signed %v: %v", newer.N, root, newer.Hash, err)
		}
		for _, older := range s.heads[:i+1] {
			if older.N == 0 {
				continue
			}
			proof, err := tlog.ProveTree(newer.N, older.N, reader)
			if err != nil {
				return fmt.Errorf("tree %d in %d: %w", older.N, newer.N, err)
			}
			if err := tlog.CheckTree(proof, newer.N, newer.Hash, older.N, older.Hash); err != nil {
				return fmt.Errorf("tree %d in %d: %w", older.N, newer.N, err)
			}
			s.counts.TreeProofs++
		}
	}
	return nil
}

// checkServedProofs holds the proofs that the log serves against Go's checks.
func checkServedProofs(s *site) error {
	for _, head := range s.heads {
		for index := int64(0); index < head.N; index += 1 + head.N/40 {
			var view struct{ Path []tlog.Hash }
			if err := s.view(fmt.Sprintf("/v1/proofs/inclusion?index=%d&size=%d", index, head.N), &view); err != nil {
				return err
			}
			if err := tlog.CheckRecord(view.Path, head.N, head.Hash, index, s.records[index]); err != nil {
				return fmt.Errorf("served path of %d in %d: %w", index, head.N, err)
			}
			s.counts.ServedProofs++
		}
		for _, older := range s.heads {
			if older.N == 0 || older.N > head.N {
				continue
			}
			var view struct{ Proof []tlog.Hash }
			if err := s.view(fmt.Sprintf("/v1/proofs/consistency?from=%d&to=%d", older.N, head.N), &view); err != nil {
				return err
			}
			if err := tlog.CheckTree(view.Proof, head.N, head.Hash, older.N, older.Hash); err != nil {
				return fmt.Errorf("served proof of %d in %d: %w", older.N, head.N, err)
			}
			s.counts.ServedProofs++
		}
	}
	return nil
}

// checkReceipts reads every record's receipt as text (C2SP tlog-proof v1) and verifies it with the key alone.
func checkReceipts(s *site) error {
	for index, hash := range s.records {
		path := fmt.Sprintf("/v1/receipts/%d", index)
		body, err := s.get(path, "text/plain")
		if err != nil {
			return err
		}
		text := string(body)
		cut := strings.Index(text, "\n\n")
		if cut < 0 {
			return fmt.Errorf("%s: no checkpoint", path)
		}
		lines := strings.Split(text[:cut], "\n")
		if len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "extra ") {
			return fmt.Errorf("%s: not a tlog-proof with a leaf", path)
		}
		leaf, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
		if err != nil || tlog.RecordHash(leaf) != hash {
			return fmt.Errorf("%s: another leaf: %v", path, err)
		}
		if lines[2] != fmt.Sprintf("index %d", index) {
			return fmt.Errorf("%s: %q", path, lines[2])
		}
		head, err := s.head([]byte(text[cut+2:]))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		var proof tlog.RecordProof
		for _, line := range lines[3:] {
			hash, err := tlog.ParseHash(line)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			proof = append(proof, hash)
		}
		if err := tlog.CheckRecord(proof, head.N, head.Hash, int64(index), hash); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		s.counts.Receipts++
	}
	return nil
}

func (s *site) view(path string, into interface{}) error {
	body, err := s.get(path, "application/json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
