package main

// COSE receipts (RFC 9942), by github.com/veraison/go-cose. The roots are computed here as RFC 9162 §2.1.3.2 and §2.1.4.2 say it.

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

const (
	mediaType   = "application/scitt-receipt+cose"
	inclusion   = int64(-1)
	consistency = int64(-2)
)

// proof is [size, index, path] or [from, to, path].
type proof struct {
	_      struct{} `cbor:",toarray"`
	First  uint64
	Second uint64
	Path   [][]byte
}

func checkCose(s *site) error {
	verifier, err := cose.NewVerifier(cose.AlgorithmEd25519, ed25519.PublicKey(s.publicKey))
	if err != nil {
		return err
	}
	for i, head := range s.heads {
		for index := int64(0); index < head.N; index += 1 + head.N/60 {
			path := fmt.Sprintf("/v1/receipts/%d?size=%d", index, head.N)
			if head.N == 1 {
				if err := s.noForm(path); err != nil {
					return err
				}
				continue
			}
			root := func(p proof) ([]byte, error) {
				if p.First != uint64(head.N) || p.Second != uint64(index) {
					return nil, fmt.Errorf("of %d in %d", p.Second, p.First)
				}
				return rootOfInclusion(s.records[index][:], p)
			}
			if err := s.coseReceipt(path, inclusion, verifier, head.Hash[:], root); err != nil {
				return err
			}
			s.counts.CoseInclusions++
		}
		for _, older := range s.heads[:i+1] {
			path := fmt.Sprintf("/v1/proofs/consistency?from=%d&to=%d", older.N, head.N)
			if older.N == 0 || older.N == head.N {
				if err := s.noForm(path); err != nil {
					return err
				}
				continue
			}
			from := older
			root := func(p proof) ([]byte, error) {
				if p.First != uint64(from.N) || p.Second != uint64(head.N) {
					return nil, fmt.Errorf("from %d to %d", p.First, p.Second)
				}
				return rootOfConsistency(from.Hash[:], p)
			}
			if err := s.coseReceipt(path, consistency, verifier, head.Hash[:], root); err != nil {
				return err
			}
			s.counts.CoseConsistencies++
		}
	}
	return nil
}

// noForm: an empty path cannot be said in COSE, and the log says so.
func (s *site) noForm(path string) error {
	status, body, _, err := s.ask(path, mediaType)
	if err != nil || status != http.StatusConflict || !bytes.Contains(body, []byte(`"no_cose_form"`)) {
		return fmt.Errorf("%s: %d %s %v", path, status, body, err)
	}
	s.counts.Refused++
	return nil
}

// coseReceipt fetches one receipt and checks headers, root and signature, and that a changed root or signature fails.
func (s *site) coseReceipt(path string, kind int64, verifier cose.Verifier, signed []byte, root func(proof) ([]byte, error)) error {
	body, header, err := s.fetch(path, mediaType)
	if err != nil {
		return err
	}
	if header.Get("Content-Type") != mediaType {
		return fmt.Errorf("%s: %s", path, header.Get("Content-Type"))
	}
	var message cose.Sign1Message
	if err := message.UnmarshalCBOR(body); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	algorithm, err := message.Headers.Protected.Algorithm()
	if err != nil || algorithm != cose.AlgorithmEd25519 || message.Headers.Protected[int64(395)] != int64(1) {
		return fmt.Errorf("%s: protected header %v %v", path, message.Headers.Protected, err)
	}
	if message.Payload != nil {
		return fmt.Errorf("%s: the payload is attached", path)
	}
	proofs, ok := message.Headers.Unprotected[int64(396)].(map[interface{}]interface{})
	if !ok || len(proofs) != 1 {
		return fmt.Errorf("%s: unprotected header %v", path, message.Headers.Unprotected)
	}
	list, ok := proofs[kind].([]interface{})
	if !ok || len(list) != 1 {
		return fmt.Errorf("%s: proofs %v", path, proofs)
	}
	encoded, ok := list[0].([]byte)
	if !ok {
		return fmt.Errorf("%s: a proof that is no byte string", path)
	}
	var decoded proof
	if err := cbor.Unmarshal(encoded, &decoded); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	payload, err := root(decoded)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if !bytes.Equal(payload, signed) {
		return fmt.Errorf("%s: the proof leads to another root than the checkpoint's", path)
	}
	message.Payload = payload
	if err := message.Verify(nil, verifier); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	message.Payload = append([]byte{payload[0] ^ 1}, payload[1:]...)
	if message.Verify(nil, verifier) == nil {
		return fmt.Errorf("%s: another root verifies", path)
	}
	message.Payload = payload
	message.Signature = append([]byte{message.Signature[0] ^ 1}, message.Signature[1:]...)
	if message.Verify(nil, verifier) == nil {
		return fmt.Errorf("%s: another signature verifies", path)
	}
	s.counts.Refused += 2
	return nil
}

func node(left, right []byte) []byte {
	hash := sha256.Sum256(append(append([]byte{1}, left...), right...))
	return hash[:]
}

// rootOfInclusion is RFC 9162 §2.1.3.2, but for the last comparison.
func rootOfInclusion(leaf []byte, p proof) ([]byte, error) {
	size, index := p.First, p.Second
	if index >= size {
		return nil, errors.New("index out of bounds")
	}
	fn, sn, r := index, size-1, leaf
	for _, hash := range p.Path {
		if len(hash) != sha256.Size || sn == 0 {
			return nil, errors.New("path of another length")
		}
		if fn&1 == 1 || fn == sn {
			r = node(hash, r)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			r = node(r, hash)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 {
		return nil, errors.New("path too short")
	}
	return r, nil
}

// rootOfConsistency is RFC 9162 §2.1.4.2, but for the last comparison of the newer root.
func rootOfConsistency(older []byte, p proof) ([]byte, error) {
	first, second, path := p.First, p.Second, p.Path
	if first == 0 || first >= second || len(path) == 0 {
		return nil, errors.New("sizes out of bounds, or an empty proof")
	}
	if first&(first-1) == 0 {
		path = append([][]byte{older}, path...)
	}
	fn, sn := first-1, second-1
	for fn&1 == 1 {
		fn, sn = fn>>1, sn>>1
	}
	fr, sr := path[0], path[0]
	for _, hash := range path[1:] {
		if len(hash) != sha256.Size || sn == 0 {
			return nil, errors.New("proof of another length")
		}
		if fn&1 == 1 || fn == sn {
			fr, sr = node(hash, fr), node(hash, sr)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			sr = node(sr, hash)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 || !bytes.Equal(fr, older) {
		return nil, errors.New("the proof does not begin at the older root")
	}
	return sr, nil
}
