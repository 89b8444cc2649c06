// What the chains use of a DSP48E2: D + A times B, with or without the cascade.
/* verilator lint_off UNUSEDPARAM */
/* verilator lint_off UNUSEDSIGNAL */
module DSP48E2 #(
    parameter AMULTSEL = "A", BMULTSEL = "B", PREADDINSEL = "A", A_INPUT = "DIRECT",
    parameter B_INPUT = "DIRECT", USE_MULT = "MULTIPLY", USE_SIMD = "ONE48",
    parameter USE_PATTERN_DETECT = "NO_PATDET",
    parameter integer AREG = 1, ACASCREG = 1, DREG = 1, ADREG = 1, BREG = 1, BCASCREG = 1,
    parameter integer MREG = 1, PREG = 1, CREG = 1, OPMODEREG = 1, INMODEREG = 1, ALUMODEREG = 1,
    parameter integer CARRYINREG = 1, CARRYINSELREG = 1
) (
    input CLK,
    input [29:0] A, input [17:0] B, input [47:0] C, input [26:0] D,
    input [29:0] ACIN, input [17:0] BCIN, input [47:0] PCIN,
    input [4:0] INMODE, input [8:0] OPMODE, input [3:0] ALUMODE, input [2:0] CARRYINSEL,
    input CARRYIN, CARRYCASCIN, MULTSIGNIN,
    input CEA1, CEA2, CEB1, CEB2, CED, CEAD, CEM, CEP, CECTRL, CEC,
    input CEALUMODE, CECARRYIN, CEINMODE,
    input RSTA, RSTB, RSTC, RSTD, RSTM, RSTP, RSTCTRL, RSTALUMODE, RSTINMODE, RSTALLCARRYIN,
    output reg [47:0] P, output [47:0] PCOUT
);
    reg signed [26:0] a2, d1, ad;
    reg signed [17:0] b1, b2;
    reg signed [44:0] mult;
    reg [8:0] mode;
    assign PCOUT = P;
    always @(posedge CLK) begin
        a2 <= A[26:0];
        d1 <= D;
        ad <= d1 + a2;
        b1 <= B;
        b2 <= b1;
        mult <= ad * b2;
        mode <= OPMODE;
        P <= {{3{mult[44]}}, mult} + (mode[6:4] == 3'b001 ? PCIN : 48'd0);
    end
    initial
        if (AMULTSEL != "AD" || BMULTSEL != "B" || USE_MULT != "MULTIPLY" || USE_SIMD != "ONE48"
            || AREG != 1 || DREG != 1 || ADREG != 1 || BREG != 2 || MREG != 1 || PREG != 1
            || OPMODEREG != 1 || INMODEREG != 0 || ALUMODEREG != 0 || CARRYINREG != 0
            || CARRYINSELREG != 0) begin
            $display("DSP48E2: a mode without a model");
            $finish;
        end
    always @(posedge CLK)
        if (INMODE != 5'b00100 || ALUMODE != 0 || CARRYIN || CARRYINSEL != 0
            || OPMODE[3:0] != 4'b0101 || OPMODE[8:7] != 0 || (OPMODE[6:4] != 0 && OPMODE[6:4] != 1)
            || !(CEA2 && CEB1 && CEB2 && CED && CEAD && CEM && CEP && CECTRL)) begin
            $display("DSP48E2: an operation without a model");
            $finish;
        end
endmodule
